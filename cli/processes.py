"""Child processes of `packshot up`: started, watched, stopped in order."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from config.settings import Settings

# A child that lived this long is healthy again: its next fall starts the backoff anew.
_HEALTHY_S = 60.0
_LONGEST_BACKOFF_S = 30.0
# A larger log is put aside when its process starts, one of each.
_LOG_BYTES = 10 * 2**20


def settings_environment(settings: Settings) -> dict[str, str]:
    """The environment variables from which a child builds the same settings; inherited ones are replaced."""
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("PACKSHOT_")}
    given = {f"PACKSHOT_{name.upper()}": getattr(settings, name) for name in settings.model_fields_set}
    return inherited | {name: _as_text(value) for name, value in given.items() if value is not None}


def complete(settings: Settings, **changes: object) -> Settings:
    """A checked copy of `settings` with changes."""
    return Settings.model_validate({**settings.model_dump(exclude_unset=True), **changes})


def _as_text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, timedelta):
        return f"PT{value.total_seconds():f}S"
    return str(value.resolve() if isinstance(value, Path) else value)


class Child:
    """One `packshot <arguments>` process in a session of its own, with its log in a file.

    Its standard input is a pipe that nobody writes to: when the parent dies, however hard, the child sees the end of
    it and stops (`stop_with_parent`). So a killed `packshot up` leaves no process behind.
    """

    def __init__(self, name: str, arguments: list[str], *, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._arguments = arguments
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._falls = 0
        self._restart_at: float | None = None

    @property
    def pid(self) -> int:
        """Process id; `RuntimeError` when it was never started."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    def start(self) -> None:
        """Start the process; its log is appended to."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli", "--with-parent", *self._arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=dict(self._environment),
                start_new_session=True,
            )
        self._started_at = time.monotonic()
        self._restart_at = None

    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def returncode(self) -> int | None:
        """Exit status of the last run; negative is a signal's number."""
        return None if self._process is None else self._process.poll()

    def watch(self, now: float) -> str | None:
        """Restart the process when it fell, later after each fall; returns a sentence when there is news.

        `now` is `time.monotonic()`; to be called a few times a second.
        """
        if self.is_running():
            return None
        if self._restart_at is None:
            self._falls = 0 if now - self._started_at > _HEALTHY_S else self._falls + 1
            pause_s = min(2.0 ** max(self._falls - 1, 0), _LONGEST_BACKOFF_S)
            self._restart_at = now + pause_s
            return f"{self.name} {exit_words(self.returncode())}, restart in {pause_s:.0f} s; see {self.log}"
        if now >= self._restart_at:
            self._close()
            self.start()
            return f"{self.name} restarted"
        return None

    def terminate(self) -> None:
        """Ask the process to stop (SIGTERM)."""
        if self._process is not None and self.is_running():
            self._process.terminate()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Signal the process and everything it started, which share its session."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end; what is left after `timeout_s` is killed. False when it had to be killed."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
            return False
        else:
            return True
        finally:
            self._close()

    def _close(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()


def exit_words(code: int | None) -> str:
    """How a process ended, in words."""
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"exited with {code}"


def stop_with_parent() -> None:
    """In a child: stop in order (SIGTERM) when the parent is gone, seen by the end of standard input."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
