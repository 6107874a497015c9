"""`packshot health`: healthy is who makes progress, not who exists."""

import socket
import time
from datetime import timedelta

import pytest
from sqlalchemy import func, update
from typer.testing import CliRunner

from cli.main import app
from config.settings import Settings
from db import workers
from db.session import Sessions
from db.worker_models import WorkerHeartbeat
from tests.ports import free_port

HERE = socket.gethostname()


@pytest.fixture
def runner(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("PACKSHOT_DATABASE_URL", settings.require_database_url())
    return CliRunner()


def status(runner: CliRunner, part: str) -> int:
    return runner.invoke(app, ["health", part]).exit_code


def test_a_worker_is_healthy_while_its_heartbeat_is_fresh(runner: CliRunner, sessions: Sessions) -> None:
    with sessions.begin() as session:
        workers.beat(session, "io-1@elsewhere", kind="io", pid=1, progressed=True)
    assert status(runner, "io") == 1  # another machine's worker says nothing of this one
    with sessions.begin() as session:
        workers.beat(session, f"io-1@{HERE}", kind="io", pid=1, progressed=True)
    assert status(runner, "io") == 0
    assert status(runner, "gpu") == 1
    with sessions.begin() as session:
        session.execute(update(WorkerHeartbeat).values(beat_at=func.now() - timedelta(minutes=1)))
    assert status(runner, "io") == 1


def test_a_database_that_is_away_is_no_reason_to_restart_a_worker(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKSHOT_DATABASE_URL", f"postgresql://packshot@127.0.0.1:{free_port()}/packshot")
    begun = time.monotonic()
    assert status(runner, "gpu") == 0
    assert time.monotonic() - begun < 10


def test_an_api_that_does_not_answer_is_ill(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_PORT", str(free_port()))
    shown = runner.invoke(app, ["health", "api"])
    assert (shown.exit_code, "does not answer" in shown.stderr) == (1, True)


def test_an_api_that_answers_is_well(runner: CliRunner, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_PORT", url.rpartition(":")[2])
    assert status(runner, "api") == 0
