"""How much memory a worker may come to hold before it makes room for a fresh process."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from config.settings import Settings

_CGROUP = Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""Of a container: version 2 of control groups, and version 1."""
_SHARE = 0.8
"""Of the container's limit: decoders and the photos that they hand over count towards it too."""
_NO_LIMIT = 2**60
"""Version 1 says "none" with a number larger than any machine."""


def resident_bytes() -> int:
    """What this process holds in memory now, in bytes; memory shared with the decoders is part of it."""
    return int(psutil.Process(os.getpid()).memory_info().rss)


@dataclass(frozen=True)
class MemoryBound:
    """`bound_bytes` None bounds nothing."""

    bound_bytes: int | None
    measure: Callable[[], int] = resident_bytes

    def exceeded_by(self) -> int:
        """Bytes above the bound, 0 within it."""
        return 0 if self.bound_bytes is None else max(0, self.measure() - self.bound_bytes)

    def require_room(self) -> None:
        """Raise `ValueError` where a worker that has done nothing yet is above it: it would only ever be replaced."""
        if over := self.exceeded_by():
            raise ValueError(
                f"PACKSHOT_WORKER_MEMORY_BYTES, {self.bound_bytes} bytes, is {over} less than a worker needs at rest"
            )


def memory_bound(settings: Settings, cgroup: Path = _CGROUP) -> MemoryBound:
    """The setting's, else most of what the container may have, else none."""
    return MemoryBound(settings.worker_memory_bytes or _of_container(cgroup))


def _of_container(cgroup: Path) -> int | None:
    for name in _LIMITS:
        file = cgroup / name
        if file.exists() and (limit := file.read_text(encoding="ascii").strip()).isdecimal():
            return int(int(limit) * _SHARE) if int(limit) < _NO_LIMIT else None
    return None
