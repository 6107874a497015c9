"""`packshot worker gpu`: one child process per device, each pinned to its own before it loads anything.

CUDA is never touched here: devices are listed by the driver's own tools. A child that falls is started again, later
each time; one that never became ready means that set-up failed, and the supervisor ends with its exit status.
"""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import structlog

log = structlog.get_logger(__name__)

COMMAND = (sys.executable, "-m", "worker.gpu_child")
SETUP_FAILED = 78
"""Exit status when a first child ended before it was ready without saying why (EX_CONFIG of sysexits.h)."""

_DRIVER_FOLDER = Path("/proc/driver/nvidia/gpus")
_LISTED = re.compile(r"UUID: ((?:GPU|MIG)-[0-9a-fA-F-]+)")
_POLL_S = 0.2
_METRICS_PORT = "PACKSHOT_METRICS_PORT"
_HEALTHY_S = 60.0
_LONGEST_PAUSE_S = 30.0


def visible_devices(
    environment: Mapping[str, str],
    list_devices: Callable[[], str] | None = None,
) -> list[str]:
    """Names for `CUDA_VISIBLE_DEVICES`, one per child; empty where there is no GPU.

    What the variable already allows, else the UUIDs that the driver lists (they mean the same in every order of
    devices). A GPU that is split (MIG) stands for its slices.
    """
    allowed = environment.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        names = [name.strip() for name in allowed.split(",")]
        # As CUDA reads it: the first name that is none ends the list.
        valid = next((place for place, name in enumerate(names) if name in {"", "-1"}), len(names))
        return names[:valid]
    return _parse(list_devices() if list_devices else _driver_list())


def _parse(listed: str) -> list[str]:
    """Output of `nvidia-smi -L`: a line per GPU, below it one per MIG slice."""
    found: list[str] = []
    for name in _LISTED.findall(listed):
        if name.startswith("MIG-") and found and found[-1].startswith("GPU-"):
            found.pop()
        found.append(name)
    return found


def _driver_list() -> str:
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S607
    except (FileNotFoundError, subprocess.TimeoutExpired):
        listed = None
    if listed is not None and listed.returncode == 0:
        return listed.stdout
    facts = sorted(_DRIVER_FOLDER.glob("*/information"))
    return "\n".join(line.replace("GPU UUID:", "UUID:") for path in facts for line in _uuid_lines(path))


def _uuid_lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [re.sub(r"\s+", " ", line) for line in lines if line.startswith("GPU UUID")]


def _metrics_port(environment: Mapping[str, str], number: int) -> dict[str, str]:
    """Children of one machine show their metrics at ports side by side."""
    port = int(environment.get(_METRICS_PORT) or 0)
    return {_METRICS_PORT: str(port + number)} if port else {}


@dataclass
class _Child:
    """One pinned worker process and the pipe on which it says that it is ready."""

    command: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    is_ready: bool = False
    was_ready: bool = False
    is_told: bool = False
    falls: int = 0
    started_at: float = 0.0
    start_at: float = 0.0
    _ready_fd: int = field(default=-1)

    def start(self) -> None:
        """Start the process."""
        self._ready_fd, theirs = os.pipe()
        self.process = subprocess.Popen(  # noqa: S603 - our own module, or a test's
            [*self.command, "--ready-fd", str(theirs), "--parent-pid", str(os.getpid())],
            env=dict(self.environment),
            pass_fds=[theirs],
            # Ctrl-C reaches the whole group: the supervisor alone passes on what it means.
            start_new_session=True,
        )
        os.close(theirs)
        self.is_ready = self.is_told = False
        self.started_at = time.monotonic()

    def look(self) -> int | None:
        """Notice readiness; the exit status once the process ended."""
        if self.process is None:
            return None
        status = self.process.poll()
        if self._ready_fd >= 0 and select.select([self._ready_fd], [], [], 0)[0]:
            self.is_ready = bool(os.read(self._ready_fd, 1))
            self.was_ready = self.was_ready or self.is_ready
            self._close_pipe()
        return status

    def fell(self, status: int) -> None:
        """It ended: start again after a pause that doubles, unless it had been well for a while.

        At once where it was told to go, or left in order after a while: its memory had grown too large.
        """
        now = time.monotonic()
        was_well = now - self.started_at > _HEALTHY_S
        if self.is_told or (was_well and status == 0):
            self.falls, self.start_at = 0, now
            log.info("worker_left", status=status)
        else:
            self.falls = 1 if was_well else self.falls + 1
            self.start_at = now + min(2.0 ** (self.falls - 1), _LONGEST_PAUSE_S)
            log.error("worker_fell", status=status, falls=self.falls)
        self.process = None
        self._close_pipe()

    def signal(self, number: int) -> None:
        """Pass a signal on."""
        if self.process is not None:
            self.process.send_signal(number)

    def _close_pipe(self) -> None:
        if self._ready_fd >= 0:
            os.close(self._ready_fd)
            self._ready_fd = -1


class Supervisor:
    """Keeps one child per device running until it is told to stop. Runs in a main thread.

    SIGHUP restarts the children one after another: each finishes what it began and gives back the rest, and the next
    one's turn comes when its successor is ready. So the other devices go on working, and a restart whose set-up fails
    stops at the first device.
    """

    def __init__(
        self, devices: Sequence[str], environment: Mapping[str, str], command: Sequence[str] = COMMAND
    ) -> None:
        pins = list(devices) or [""]
        self._children = [
            _Child(command, {**environment, "CUDA_VISIBLE_DEVICES": pin, **_metrics_port(environment, number)})
            for number, pin in enumerate(pins)
        ]
        self._stopping = False
        self._to_restart: deque[_Child] = deque()

    def run(self) -> int:
        """Exit status: 0 after an orderly stop, that of the child whose first set-up failed otherwise."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._restart)
        for child in self._children:
            child.start()
        status = 0
        while not self._stopping and status == 0:
            time.sleep(_POLL_S)
            self._restart_next()
            status = max(self._mind(child) for child in self._children)
        self._signal_all(signal.SIGTERM)
        for child in self._children:
            if child.process is not None:
                ended = abs(child.process.wait())
                # Told to go while it was still loading: that is as it should be.
                status = max(status, 0 if ended == signal.SIGTERM else ended)
        return status

    def _mind(self, child: _Child) -> int:
        """Look after one child; not 0 when its set-up failed."""
        status = child.look()
        if status is not None:
            if not child.was_ready:
                log.error("worker_setup_failed", status=status)
                return abs(status) or SETUP_FAILED
            child.fell(status)
        if child.process is None and time.monotonic() >= child.start_at:
            child.start()
        return 0

    def _restart(self, _number: int, _frame: FrameType | None) -> None:
        self._to_restart = deque(self._children)

    def _restart_next(self) -> None:
        """Tell the next child to go, once every child is there and ready."""
        if self._to_restart and all(child.is_ready and not child.is_told for child in self._children):
            child = self._to_restart.popleft()
            child.is_told = True
            child.signal(signal.SIGTERM)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        # A second signal means haste: it is passed on, and the children give back what they hold.
        if self._stopping:
            self._signal_all(number)
        self._stopping = True

    def _signal_all(self, number: int) -> None:
        for child in self._children:
            child.signal(number)
