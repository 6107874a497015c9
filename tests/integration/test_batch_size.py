"""Many lines in one batch, without holding them in memory. `benchmarks/batches.py` does the same with 50,000."""

import json
import time
import tracemalloc
from pathlib import Path

from sqlalchemy import func, select

from config.settings import Settings
from db.batch_models import Batch, BatchStatus
from db.models import Fetch, Job
from db.session import Sessions
from storage.local import LocalStorage
from tests.batches import batch_worker
from tests.integration.test_batch_restart import create

LINES = 3_000
_HELD_BYTES = 8 * 2**20
"""Custom ids, one chunk of lines and one of rows."""


def test_memory_is_bounded(settings: Settings, sessions: Sessions, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.jsonl"
    with manifest.open("w") as file:
        for n in range(LINES):
            line = {"custom_id": f"SKU-{n}", "image_url": f"https://shop.example/{n}.jpg", "labels": {"sku": str(n)}}
            file.write(json.dumps(line) + "\n")
    batch_id = create(sessions, LocalStorage(settings.files_path), manifest.read_bytes())
    with batch_worker(settings) as worker:
        tracemalloc.start()
        began = time.perf_counter()
        worker.work()
        took_s = time.perf_counter() - began
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        report = f"{LINES} lines judged and expanded in {took_s:.1f} s, {peak_bytes / 2**20:.0f} MiB at most"
        print(report)  # noqa: T201 - for who reads the run's output
        worker.sweep()
    with sessions() as session:
        batch = session.get_one(Batch, batch_id)
        assert (batch.status, batch.total, batch.due_at) == (BatchStatus.IN_PROGRESS, LINES, None)
        assert session.scalar(select(func.count(func.distinct(Job.line)))) == LINES
        assert session.scalar(select(func.count()).select_from(Fetch)) == LINES
    assert peak_bytes < _HELD_BYTES
