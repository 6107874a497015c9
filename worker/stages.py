"""Times of one job's stages, which are spans of its trace too."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from config.tracing import Silent, Span, Tracing


class Stages:
    """Milliseconds by stage, such as `decode_ms`; a stage timed twice adds up. One thread at a time."""

    def __init__(
        self, start: Mapping[str, float], *, tracing: Tracing | None = None, traceparent: str | None = None
    ) -> None:
        """`traceparent`: what the stages' spans belong to."""
        self.traceparent = traceparent
        self._tracing = tracing or Silent()
        self._ms = dict(start)
        self._notes: dict[str, int] = {}

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Time a block, also one that raises."""
        start = time.perf_counter()
        with self.trace(name.removesuffix("_ms")):
            try:
                yield
            finally:
                self.add(name, time.perf_counter() - start)

    def trace(self, name: str, *, links: Sequence[str | None] = ()) -> Span:
        """Begin a stage that is timed by others."""
        return self._tracing.start(name, parent=self.traceparent, links=links)

    def add(self, name: str, seconds: float) -> None:
        """Add to a stage."""
        self._ms[name] = self._ms.get(name, 0.0) + seconds * 1000

    def note(self, name: str, value: int) -> None:
        """Record a number that is no time."""
        self._notes[name] = value

    def as_metrics(self) -> dict[str, int]:
        """Whole milliseconds, and what was noted."""
        return {**{name: round(ms) for name, ms in self._ms.items()}, **self._notes}
