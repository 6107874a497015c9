"""A worker that has grown too large makes room for a fresh one."""

from pathlib import Path

import pytest

from config.settings import Settings
from worker.memory import MemoryBound, memory_bound, resident_bytes

GIB = 2**30


def test_this_process_holds_memory() -> None:
    before = resident_bytes()
    ballast = bytearray(b"x" * (64 * 2**20))
    assert resident_bytes() - before > 50 * 2**20
    assert len(ballast) == 64 * 2**20


@pytest.mark.parametrize(
    ("file", "limit", "bound"),
    [
        ("memory.max", f"{10 * GIB}\n", 8 * GIB),
        ("memory.max", "max\n", None),
        ("memory/memory.limit_in_bytes", f"{5 * GIB}\n", 4 * GIB),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", None),
        ("other", "1", None),
    ],
)
def test_a_container_bounds_a_worker(tmp_path: Path, file: str, limit: str, bound: int | None) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(limit, encoding="ascii")
    assert memory_bound(Settings(), tmp_path).bound_bytes == bound
    assert memory_bound(Settings(worker_memory_bytes=3 * GIB), tmp_path).bound_bytes == 3 * GIB


def test_a_bound_below_what_a_worker_needs_at_rest_fails_its_set_up() -> None:
    MemoryBound(10, lambda: 10).require_room()
    with pytest.raises(ValueError, match=r"PACKSHOT_WORKER_MEMORY_BYTES, 10 bytes, is 2 less"):
        MemoryBound(10, lambda: 12).require_room()
