"""`packshot up`: one command, a photo through, everything gone at the end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from cli.ports import free_port
from packshot_client import Client
from tests.acceptance import conversions
from tests.images import draw

_READY_S = 180


class Up:
    """`packshot up` in a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self._log = folder / "up.txt"
        folder.mkdir(exist_ok=True)
        conversions.lend(folder)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(self._command(), stdout=log, stderr=log, env=self._environment())

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "cli", "up", "--port", self.url.rpartition(":")[2]]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PACKSHOT_DATA_DIR": str(self.folder), "COLUMNS": "200"}

    def said(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + _READY_S
        while words not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another `packshot` command on the same folder."""
        command = [sys.executable, "-m", "cli", *arguments]
        return subprocess.run(command, env=self._environment(), capture_output=True, text=True, timeout=60, check=False)

    @contextmanager
    def listening(self) -> Iterator[Callable[[str], list[dict]]]:
        """`packshot listen` beside it; waits for an event of a type and returns all that came."""
        out, said = self.folder / "events.jsonl", self.folder / "listen.txt"
        command = [sys.executable, "-m", "cli", "listen", "--json", "--url", self.url]
        with out.open("wb") as stdout, said.open("wb") as stderr:
            process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=self._environment())

        def heard(event_type: str) -> list[dict]:
            _wait_for(out, event_type, process)
            return [json.loads(line) for line in out.read_text().splitlines()]

        try:
            _wait_for(said, "Listening", process)
            yield heard
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0, said.read_text()

    def started(self) -> list[psutil.Process]:
        """Every process under `up`, and the database, which detaches itself."""
        postgres = int((self.folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        return [*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(postgres)]


def _wait_for(file: Path, words: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while words not in file.read_text():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path / "data")
    yield running
    if running.process.poll() is None:
        running.process.terminate()
        running.process.wait(60)


def test_up_from_start_to_end(up: Up) -> None:
    up.wait_for("Packshot is up")
    key = re.findall(r"pk_live_\S+", up.said())[0]
    assert f"API             {up.url}" in up.said()
    assert oct((up.folder / "key.json").stat().st_mode)[-3:] == "600"
    assert json.loads((up.folder / "key.json").read_text())["key"] == key

    with Client(up.url, key, trust_env=False) as client, up.listening() as heard:
        photo = BytesIO()
        Image.fromarray(draw("disc", "plain", (300, 400)).image).save(photo, "JPEG", quality=95)
        made = client.cut_out(photo.getvalue(), filename="mug.jpg", timeout_s=60)
        with Image.open(BytesIO(made.content)) as cutout:
            assert (cutout.mode, cutout.size) == ("RGBA", (400, 300))
        assert {event["type"] for event in heard("job.succeeded")} == {"job.queued", "job.processing", "job.succeeded"}

    second = up.run("up")
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert f"process {up.process.pid}" in second.stderr
    listed = up.run("keys", "list")
    assert "packshot up" in listed.stdout, listed.stderr

    io_log = (up.folder / "logs" / "io.log").read_text()
    (io,) = [each for each in psutil.Process(up.process.pid).children() if each.cmdline()[-1] == "io"]
    io.kill()
    up.wait_for("io restarted")
    assert "io was ended by SIGKILL" in up.said()
    assert httpx.get(f"{up.url}/readyz", trust_env=False).is_success
    deadline = time.monotonic() + 60
    while (up.folder / "logs" / "io.log").read_text().count(" ready.") <= io_log.count(" ready."):
        assert time.monotonic() < deadline
        time.sleep(0.1)

    processes = up.started()
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(60) == 0, up.said()
    assert "killed" not in up.said()
    _, alive = psutil.wait_procs(processes, timeout=15)
    assert alive == []

    logs = {file.stem: file.read_text() for file in (up.folder / "logs").glob("*.log")}
    assert logs.keys() == {"api", "gpu", "io", "sweeper"}
    for text in logs.values():
        assert all(json.loads(line)["timestamp"] for line in text.splitlines())
        for secret in (key, key.rpartition("_")[2], json.loads((up.folder / "key.json").read_text())["webhook_secret"]):
            assert secret not in text
    told = [json.loads(line) for line in logs["gpu"].splitlines() if "job_succeeded" in line]
    assert [(each["job_id"][:4], each["attempt"], each["worker"][:4]) for each in told] == [("job_", 1, "gpu-")]


def test_nothing_outlives_a_killed_up(up: Up) -> None:
    up.wait_for("Packshot is up")
    pids = {each.pid: each for each in psutil.Process(up.process.pid).children(recursive=True)}
    valkey = next(pid for pid, each in pids.items() if "valkey" in each.name())
    up.process.kill()
    up.process.wait()
    # The servers hold data and wait to be taken over; everything else ends by itself.
    _, alive = psutil.wait_procs([each for pid, each in pids.items() if pid != valkey], timeout=60)
    assert alive == []
    assert psutil.pid_exists(valkey)
    key = re.findall(r"pk_live_\S+", up.said())[0]
    heir = Up(up.folder)
    try:
        heir.wait_for("Packshot is up")
        assert f"key             {key}" in heir.said()
        processes = [*heir.started(), psutil.Process(valkey)]
    finally:
        heir.process.terminate()
        assert heir.process.wait(60) == 0, heir.said()
    _, alive = psutil.wait_procs(processes, timeout=15)
    assert alive == []
