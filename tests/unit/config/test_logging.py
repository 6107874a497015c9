"""One line an event, whoever logs it; on a terminal for eyes. Each case is a process: logging is set up once in one."""

import json
import os
import pty
import subprocess
import sys
from typing import Any

_SET_UP = """
import logging, threading, warnings
import structlog
from config.logging import configure_logging
from config.settings import Settings
configure_logging(Settings({settings}), worker="io-1@here")
log = structlog.get_logger("worker.io")
"""


def run(code: str, settings: str = "", status: int = 0) -> list[dict[str, Any]]:
    """The lines that a process writes."""
    done = subprocess.run(
        [sys.executable, "-c", _SET_UP.format(settings=settings) + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_an_event_is_one_json_object_with_what_is_bound() -> None:
    [line] = run("""
with structlog.contextvars.bound_contextvars(job_id="job_1", attempt=2):
    log.info("job_succeeded", verdict="pass", url="https://a.example/?sig=1")
""")
    stamp = line.pop("timestamp")
    assert stamp.endswith("Z")
    assert line == {
        "event": "job_succeeded",
        "level": "info",
        "logger": "worker.io",
        "worker": "io-1@here",
        "job_id": "job_1",
        "attempt": 2,
        "verdict": "pass",
        "url": "https://a.example/?[redacted]",
    }


def test_libraries_take_the_same_way() -> None:
    lines = run("""
import uvicorn, uvicorn.config
from celery.utils.log import get_task_logger
uvicorn.Config("x:y")  # as its own command does: handlers of its own
configure_logging(Settings(), worker="io-1@here")
logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
logging.getLogger("uvicorn.access").info('"GET /v1/jobs?key=1"')
logging.getLogger("sqlalchemy.engine").warning("slow: postgresql://u:hunter2@db/x")
logging.getLogger("celery.worker.consumer").error("lost the broker")
get_task_logger("task").warning("a task's word")
warnings.warn("old", DeprecationWarning, stacklevel=1)
""")
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("uvicorn.error", "info"),
        ("sqlalchemy.engine", "warning"),
        ("celery.worker.consumer", "error"),
        ("task", "warning"),
        ("py.warnings", "warning"),
    ]
    assert lines[0]["event"] == "Started server process [7]"
    assert "hunter2" not in lines[1]["event"]
    assert {line["worker"] for line in lines} == {"io-1@here"}


def test_what_ends_a_process_or_a_thread_is_one_line_without_values() -> None:
    [thread, process] = run(
        """
def broken(password):
    raise RuntimeError("no way to redis://:hunter2@b")
thread = threading.Thread(target=broken, args=("hunter2",), name="io-0")
thread.start()
thread.join()
broken("hunter2")
""",
        status=1,
    )
    assert (thread["event"], thread["thread"]) == ("thread_broke", "io-0")
    assert process["event"] == "process_broke"
    for line in (thread, process):
        assert line["level"] == "critical"
        assert line["exception"].endswith("RuntimeError: no way to redis://[redacted]b")
        assert "hunter2" not in str(line).replace('broken("hunter2")', "")


def test_on_a_terminal_it_is_for_eyes() -> None:
    ours, theirs = pty.openpty()
    code = _SET_UP.format(settings="") + 'log.warning("job_broke", job_id="job_1", secret="x")'
    subprocess.run([sys.executable, "-c", code], stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "job_broke" in shown
    assert "\x1b[" in shown
    assert "[redacted]" in shown
    assert not shown.startswith("{")


def test_the_format_and_the_least_level_that_are_set_hold_wherever_it_goes() -> None:
    code = _SET_UP.format(settings='log_format="console", log_level="error"')
    code += 'log.warning("job_failed"); log.error("job_broke", job_id="job_1")'
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "job_broke" in done.stderr
    assert "job_failed" not in done.stderr
    assert "{" not in done.stderr
    assert "\x1b[" not in done.stderr
