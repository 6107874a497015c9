"""A batch of 50,000 lines: how long it is judged and expanded, in how much memory, and what counting it costs.

    python -m benchmarks.batches [--lines 50000]

Starts a PostgreSQL and a Valkey of its own. Everything runs in this process, and no photo is fetched;
`benchmarks.batch_stack` measures the processes of the service. Counting is measured in two ways: as the sweeper does
it (one count by status through `ix_jobs_batch`, after all jobs were touched and nothing was vacuumed), and against
counters kept by whoever ends a job: `workers` threads end jobs one a transaction, without a counter, with one counter
row that all of them update, and with sixteen of them.
"""

import argparse
import json
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from uuid import UUID

from sqlalchemy import func, select, text, update

from benchmarks.servers import servers
from config.logging import configure_logging
from config.settings import Settings
from db import batches as rows
from db.base import JobStatus
from db.batch_models import Batch, LineSource
from db.models import Job
from db.session import Sessions
from jobs import batches, keys
from jobs.batches import NewBatch
from jobs.ids import new_id
from storage.keys import manifest_key
from storage.local import LocalStorage
from tests.batches import BatchWorker, batch_worker


def rss_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_manifest(path: Path, lines: int) -> None:
    with path.open("w") as file:
        for n in range(lines):
            line = {"custom_id": f"SKU-{n}", "image_url": f"https://shop.example/{n}.jpg", "labels": {"sku": str(n)}}
            file.write(json.dumps(line) + "\n")


def create(worker: BatchWorker, storage: LocalStorage, manifest: Path) -> UUID:
    batch_id = new_id()
    key = manifest_key(batch_id)
    with manifest.open("rb") as file:
        size = storage.put(key, file)
    with worker.io.sessions.begin() as session:
        owner = keys.create(session, "bench").id
        new = NewBatch(
            batch_id, owner, LineSource.JSONL, "bench.jsonl", key, size, {}, {}, None,
            item_webhooks=False, skip_invalid=False, base_url="https://packshot.example",
        )  # fmt: skip
        batches.create(session, new)
    return batch_id


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def count_ms(sessions: Sessions, batch_id: UUID) -> float:
    def count() -> None:
        with sessions.begin() as session:
            rows.count(session, batch_id)

    return median(timed(count) for _ in range(9)) * 1000


def poll_ms(sessions: Sessions, batch_id: UUID) -> float:
    def poll() -> None:
        with sessions.begin() as session:
            session.get_one(Batch, batch_id)

    return median(timed(poll) for _ in range(99)) * 1000


def ended_per_s(sessions: Sessions, ids: list[UUID], counters: int, workers: int) -> float:
    """Jobs ended in a second, one a transaction; with a counter row for each `counters` threads where that is not 0."""

    def work(mine: list[UUID], number: int) -> None:
        for job_id in mine:
            with sessions.begin() as session:
                session.execute(
                    update(Job).where(Job.id == job_id).values(status=JobStatus.CANCELED, completed_at=func.now())
                )
                if counters:
                    session.execute(
                        text("UPDATE bench_counters SET n = n + 1 WHERE id = :id"), {"id": number % counters}
                    )

    threads = [threading.Thread(target=work, args=(ids[n::workers], n)) for n in range(workers)]

    def run() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return len(ids) / timed(run)


def measure(settings: Settings, lines: int, workers: int) -> None:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    manifest = settings.data_dir / "manifest.jsonl"
    write_manifest(manifest, lines)
    with batch_worker(settings) as worker:
        sessions = worker.io.sessions
        batch_id = create(worker, LocalStorage(settings.files_path), manifest)
        before = rss_mib()
        took_s = timed(worker.work)
        print(f"{lines} lines of {manifest.stat().st_size / 2**20:.1f} MiB judged and expanded in {took_s:.1f} s")
        print(f"memory grew by {rss_mib() - before:.0f} MiB, from {before:.0f}")
        print(f"count right after: {count_ms(sessions, batch_id):.1f} ms")
        print(f"poll of the batch: {poll_ms(sessions, batch_id):.2f} ms")
        with sessions.begin() as session:
            session.execute(text("CREATE TABLE bench_counters (id int PRIMARY KEY, n int NOT NULL)"))
            session.execute(text("INSERT INTO bench_counters SELECT g, 0 FROM generate_series(0, 15) AS g"))
            ids = list(session.scalars(select(Job.id).where(Job.batch_id == batch_id).order_by(Job.line)))
        share = len(ids) // 10
        for number, counters in enumerate((0, 1, 16)):
            rate = ended_per_s(sessions, ids[number * share : (number + 1) * share], counters, workers)
            print(f"{workers} threads end {rate:.0f} jobs/s with {counters} counter rows")
        with sessions.begin() as session:
            session.execute(
                update(Job).where(Job.batch_id == batch_id).values(status=JobStatus.QUEUED, completed_at=None)
            )
        print(f"count after every row was touched: {count_ms(sessions, batch_id):.1f} ms")
        print(f"one sweep: {timed(worker.sweep) * 1000:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=8)
    asked = parser.parse_args()
    with servers() as given:
        settings = given.model_copy(update={"log_level": "warning"})
        configure_logging(settings)
        measure(settings, asked.lines, asked.workers)


if __name__ == "__main__":
    main()
