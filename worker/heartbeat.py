"""The thread beside a worker's loop: heartbeat row, lease renewal, and an end to a worker that stands still."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import structlog
from sqlalchemy.orm import Session

from config.settings import Settings
from db import workers
from db.session import DATABASE_AWAY, Sessions
from jobs import work
from worker.memory import MemoryBound
from worker.pulse import Pulse

log = structlog.get_logger(__name__)

STALLED = 70
"""Exit status of a worker that had work and did not move."""

_JOIN_S = 10.0


def _leave_in_order() -> None:
    # To the process, not the thread: a signal raised in this one would not wake the main thread.
    os.kill(os.getpid(), signal.SIGTERM)


class Who(Protocol):
    """Who beats, as of now."""

    @property
    def name(self) -> str:
        """Unique among live workers."""

    @property
    def kind(self) -> str:
        """gpu, io or sweeper."""

    @property
    def model_version(self) -> str | None:
        """Id of the model of jobs that name none."""

    @property
    def runtime(self) -> str | None:
        """What computes it."""

    @property
    def problem(self) -> str | None:
        """What it could not do and lives with."""


@dataclass(frozen=True)
class Identity:
    """A worker without a model."""

    name: str
    kind: str
    model_version: None = None
    runtime: None = None
    problem: None = None


def worker_name(kind: str) -> str:
    """Unique among live workers, also where several run on one machine: `gpu-4711@host`."""
    return f"{kind}-{os.getpid()}@{socket.gethostname()}"


class Heartbeat:
    """Beats every `heartbeat_s`, renews every third of a lease, each in a transaction of its own.

    A worker that holds jobs and has not moved for `stall_s` is stuck: their leases are renewed no more and the
    process ends, so that its supervisor starts a fresh one. So does an idle one while work has been left lying for
    as long (`is_left_lying`): it is deaf to its doorbell. Once told to leave, a worker has `shutdown_s` to finish
    what it began; then it gives back what it holds. One that has come to hold more `memory` than it may tells itself
    to leave, and its supervisor starts a fresh one.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        identity: Who,
        pulse: Pulse,
        *,
        is_left_lying: Callable[[Session], bool],
        memory: MemoryBound | None = None,
        exit_process: Callable[[int], object] = os._exit,
        ask_to_leave: Callable[[], object] = _leave_in_order,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._identity = identity
        self._pulse = pulse
        self._is_left_lying = is_left_lying
        self._memory = memory or MemoryBound(None)
        self._exit = exit_process
        self._ask_to_leave = ask_to_leave
        self._done = threading.Event()
        self._leave_at: float | None = None
        self._seen_moves = 0
        self._looked_at = time.monotonic()
        self._renew_s = settings.lease_s / 3
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        """Write the first heartbeat and start the thread. Raises when the database is away: set-up failed."""
        self._write()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread and take the heartbeat away: this worker leaves in order."""
        self._done.set()
        self._thread.join(_JOIN_S)
        try:
            with self._sessions.begin() as session:
                workers.leave(session, self._identity.name)
        except DATABASE_AWAY as error:
            log.warning("leave_failed", error=type(error).__name__)

    def leave(self, *, now: bool = False) -> None:
        """Start the clock of an orderly shutdown; `now` lets it run out. Safe in a signal handler: it only assigns."""
        if self._leave_at is None or now:
            self._leave_at = time.monotonic() + (0 if now else self._settings.shutdown_s)

    def beat(self) -> None:
        """Write the heartbeat now; the loop calls it when a drain ends, so that totals are up to date."""
        try:
            self._write()
        except DATABASE_AWAY as error:
            log.warning("heartbeat_failed", error=type(error).__name__)

    def renew(self) -> None:
        """Extend the leases of everything held, as long as the worker moves."""
        held = self._pulse.held()
        if not held or self._is_stuck():
            return
        try:
            with self._sessions.begin() as session:
                work.renew(session, held, lease_s=self._settings.lease_s)
        except DATABASE_AWAY as error:
            log.warning("renew_failed", error=type(error).__name__, jobs=len(held))

    def check(self) -> None:
        """End the process if it stands still, or if its time to leave is over."""
        if self._leave_at is not None and time.monotonic() >= self._leave_at:
            self._give_back()
            self._exit(0)
        elif self._is_stuck() or self._is_deaf():
            log.error("worker_stalled", still_s=round(self._pulse.still_s()), held=len(self._pulse.held()))
            self._exit(STALLED)
        elif self._leave_at is None and (over := self._memory.exceeded_by()):
            log.warning("worker_outgrown", over_bytes=over)
            self.leave()
            self._ask_to_leave()

    def _run(self) -> None:
        try:
            self._beat_on()
        finally:
            # Without its heartbeat a worker's leases lapse unseen and its jobs are counted as crashed.
            if not self._done.is_set():
                log.error("heartbeat_fell")
                self._exit(STALLED)

    def _beat_on(self) -> None:
        step_s = min(self._settings.heartbeat_s, self._renew_s, 0.5)
        beat_at = renew_at = time.monotonic()
        while not self._done.wait(step_s):
            now = time.monotonic()
            if now >= renew_at + self._renew_s:
                renew_at = now
                self.renew()
            if now >= beat_at + self._settings.heartbeat_s:
                beat_at = now
                self.beat()
            self.check()

    def _write(self) -> None:
        moves = self._pulse.moves()
        with self._sessions.begin() as session:
            workers.beat(
                session,
                self._identity.name,
                progressed=moves != self._seen_moves,
                kind=self._identity.kind,
                pid=os.getpid(),
                model_version=self._identity.model_version,
                runtime=self._identity.runtime,
                problem=self._identity.problem,
                totals=self._pulse.totals(),
            )
        self._seen_moves = moves

    def _is_stuck(self) -> bool:
        return bool(self._pulse.held()) and self._pulse.still_s() > self._settings.stall_s

    def _is_deaf(self) -> bool:
        """Idle, for as long as work of its kind has been waiting."""
        idle_s = min(self._pulse.still_s(), time.monotonic() - self._looked_at)
        if self._pulse.is_working() or idle_s <= self._settings.stall_s:
            return False
        self._looked_at = time.monotonic()
        try:
            with self._sessions() as session:
                return self._is_left_lying(session)
        except DATABASE_AWAY:
            return False

    def _give_back(self) -> None:
        held = self._pulse.held()
        log.warning("shutdown_cut_short", jobs=len(held))
        try:
            with self._sessions.begin() as session:
                work.release(session, held)
                workers.leave(session, self._identity.name)
        except DATABASE_AWAY as error:
            log.warning("release_failed", error=type(error).__name__, jobs=len(held))
