"""What the measurements of the API share: servers of their own, and the arithmetic of times."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from cli.embedded import EmbeddedBroker, EmbeddedDatabase
from config.settings import Settings
from db.migrate import upgrade


@contextmanager
def servers() -> Iterator[Settings]:
    """Settings that name a migrated PostgreSQL and a Valkey in a folder of their own, which goes at the end."""
    # In /tmp: as root the server runs under a user of its own, which must reach the folder.
    with tempfile.TemporaryDirectory(prefix="packshot-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        database, broker = EmbeddedDatabase(folder / "postgres"), EmbeddedBroker(folder / "valkey")
        try:
            upgrade(database.url)
            yield Settings(database_url=database.url, broker_url=broker.url, data_dir=folder / "data")
        finally:
            broker.stop()
            database.stop()


def time_ms(action: Callable[[], object]) -> float:
    """How long it takes, in milliseconds."""
    begun = time.perf_counter()
    action()
    return (time.perf_counter() - begun) * 1000


def cpu_ms(process: psutil.Process) -> float:
    """Milliseconds of CPU that a process has used so far."""
    return sum(process.cpu_times()[:2]) * 1000


def p50_p95(took_ms: Sequence[float]) -> tuple[float, float]:
    """The median and the value that one in twenty exceeds."""
    ordered = sorted(took_ms)
    return ordered[len(ordered) // 2], ordered[len(ordered) * 95 // 100]
