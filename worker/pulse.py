"""What a worker holds and when it last moved: written by its loop, read by its heartbeat."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from jobs.values import ClaimedJob

Held = tuple[UUID, int]
"""A job and the attempt under which this worker holds it."""


class Pulse:
    """Shared by the threads of one worker; every method may be called from any of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: set[Held] = set()
        self._moved_at = clock()
        self._moves = 0
        self._at_work = 0
        self._totals: Counter[str] = Counter()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around a drain; its start and its end count as moves."""
        with self._lock:
            self._at_work += 1
        self.moved()
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= 1
            self.moved()

    def moved(self) -> None:
        """Note progress: a claim, a forward, a finished job."""
        with self._lock:
            self._moves += 1
            self._moved_at = self._clock()

    def moves(self) -> int:
        """How often the loop moved since the process started."""
        with self._lock:
            return self._moves

    def still_s(self) -> float:
        """Seconds since the last progress."""
        with self._lock:
            return self._clock() - self._moved_at

    def is_working(self) -> bool:
        """Whether a drain runs."""
        with self._lock:
            return self._at_work > 0

    def hold(self, jobs: Iterable[ClaimedJob]) -> None:
        """Renew the leases of these jobs from now on."""
        with self._lock:
            self._held.update(job.held for job in jobs)

    def drop(self, jobs: Iterable[ClaimedJob]) -> None:
        """These jobs are finished, given back or given up."""
        with self._lock:
            self._held.difference_update(job.held for job in jobs)

    def held(self) -> list[Held]:
        """All (job, attempt) in this worker's hands, in a stable order."""
        with self._lock:
            return sorted(self._held)

    def count(self, amounts: Mapping[str, int]) -> None:
        """Add to the totals since the process started."""
        with self._lock:
            self._totals.update(amounts)

    def totals(self) -> dict[str, int]:
        """A copy of the totals."""
        with self._lock:
            return dict(self._totals)
