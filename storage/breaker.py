"""A circuit breaker: after some failures in a row nobody tries for a while, then one does.

Our own, since those at hand don't fit threads that wait (decision 0021): one holds a lock while a call runs, so that
all wait behind a slow one; another lets everybody through when its pause is over.
"""

import math
import threading
import time
from collections.abc import Callable
from enum import StrEnum


class BreakerState(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"  # all go through
    OPEN = "open"  # nobody does: it pauses, or one is trying
    HALF_OPEN = "half_open"  # the next one may try


class Breaker:
    """Opens after `failures` in a row (0: never), pauses `pause_s`, then lets one try at a time. Used by all threads.

    Who was admitted reports with `succeed` or `fail`. One who tries and has not reported after `lapse_s` is given up.
    """

    def __init__(
        self,
        *,
        failures: int,
        pause_s: float,
        lapse_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = failures
        self._pause_s = pause_s
        self._lapse_s = lapse_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failed = 0  # in a row
        self._is_open = False
        self._paused_until = self._tried_until = -math.inf

    @property
    def state(self) -> BreakerState:
        """Where it stands now."""
        with self._lock:
            return self._state()

    def _state(self) -> BreakerState:
        if not self._is_open:
            return BreakerState.CLOSED
        is_shut = self._clock() < max(self._paused_until, self._tried_until)
        return BreakerState.OPEN if is_shut else BreakerState.HALF_OPEN

    @property
    def pause_left_s(self) -> float:
        """Seconds until one may try; 0 where one may, or does."""
        with self._lock:
            return max(self._paused_until - self._clock(), 0.0)

    def admit(self) -> bool:
        """Whether the caller may go; when the pause is over one may, and the others wait for how it fares."""
        with self._lock:
            state = self._state()
            if state is BreakerState.HALF_OPEN:
                self._tried_until = self._clock() + self._lapse_s
            return state is not BreakerState.OPEN

    def succeed(self) -> bool:
        """It went well: all may go. Whether that closed it."""
        with self._lock:
            was_open, self._is_open = self._is_open, False
            self._failed = 0
            self._paused_until = self._tried_until = -math.inf
            return was_open

    def fail(self) -> bool:
        """It failed. Whether that opened it; what was under way before the pause and fails in it makes it no longer."""
        with self._lock:
            self._failed += 1
            now = self._clock()
            if not 0 < self._most <= self._failed or now < self._paused_until:
                return False
            was_open, self._is_open = self._is_open, True
            self._paused_until, self._tried_until = now + self._pause_s, -math.inf
            return not was_open
