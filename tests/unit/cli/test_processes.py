"""Child processes: their environment, their restarts, their end."""

import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest

from cli.processes import Child, exit_words, settings_environment
from config.settings import Settings


def _child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Child:
    """A child that runs this Python in place of the command."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nshift 3\n{' '.join(arguments)}\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    return Child("gpu", [], environment={"PATH": "/bin:/usr/bin"}, log=tmp_path / "logs" / "gpu.log")


def _wait_for_end(child: Child) -> None:
    deadline = time.monotonic() + 10
    while child.is_running():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_settings_survive_the_way_through_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PACKSHOT_PORT", "1234")
    settings = Settings(
        database_url="postgresql://user:secret@host/name",
        data_dir=tmp_path,
        egress_ports=(80, 8443),
        egress_allow=("10.0.0.0/8", "127.0.0.1/32:9000"),
        files_retention=timedelta(days=1.5),
        lease_s=2.5,
    )
    environment = settings_environment(settings)
    for name in ("PACKSHOT_PORT",):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
    assert settings.require_database_url() == Settings().require_database_url()


def test_inherited_settings_do_not_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(port=1)
    monkeypatch.setenv("PACKSHOT_LEASE_S", "3")
    assert "PACKSHOT_LEASE_S" not in settings_environment(settings)


def test_a_fallen_child_is_restarted_later_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = _child(tmp_path, monkeypatch, "exit 3")
    child.start()
    now, pauses = time.monotonic(), []
    for _ in range(4):
        _wait_for_end(child)
        news = child.watch(now) or ""
        assert news.startswith("gpu exited with 3, restart in ")
        pauses.append(int(news.split(" in ")[1].split(" s")[0]))
        assert child.watch(now + pauses[-1] - 0.1) is None
        now += pauses[-1]
        assert child.watch(now) == "gpu restarted"
    assert pauses == [1, 2, 4, 8]
    child.wait(10)


def test_a_child_that_lived_long_starts_its_backoff_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = _child(tmp_path, monkeypatch, "exit 0")
    child.start()
    _wait_for_end(child)
    assert "restart in 1 s" in (child.watch(time.monotonic()) or "")
    child.wait(1)
    child.start()
    _wait_for_end(child)
    assert "restart in 1 s" in (child.watch(time.monotonic() + 100) or "")
    child.wait(1)


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = _child(tmp_path, monkeypatch, "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    child.start()
    deadline = time.monotonic() + 10
    while "ready" not in child.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.terminate()
    assert not child.wait(0.3)
    assert child.returncode() == -signal.SIGKILL


def test_words_for_an_end() -> None:
    assert exit_words(1) == "exited with 1"
    assert exit_words(-9) == "was ended by SIGKILL"
