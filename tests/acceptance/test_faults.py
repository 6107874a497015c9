"""The whole stack under faults, with the real model: after each one the books are right.

Every accepted job stands in exactly one final status, its outputs were written once, and it has one event.
"""

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from redis import Redis

from cli.embedded import EmbeddedBroker, EmbeddedDatabase
from cli.processes import Child, settings_environment
from config.settings import Settings
from db import workers
from db.migrate import upgrade
from db.models import Job
from dispatch.celery_app import build_celery
from dispatch.names import TASKS, Bell
from tests.acceptance.books import check_books, photo, photos, rows_of, statuses, wait_for
from tests.acceptance.stack import READY_S, RunningStack, running_stack


class Shop:
    """A running stack on servers of its own, and means to hurt them."""

    def __init__(self, stack: RunningStack, database: EmbeddedDatabase, broker: EmbeddedBroker) -> None:
        self.stack, self.database, self.broker = stack, database, broker

    def submit(self, bodies: list[bytes]) -> list[str]:
        return [self.stack.submit(body) for body in bodies]

    def submit_in_work(self, bodies: list[bytes]) -> list[str]:
        """Submit, and come back once a worker is at it."""
        ids = self.submit(bodies)
        wait_for(self.stack.sessions, ids, "processing")
        return ids

    def start_gpu(self) -> None:
        self.stack.start("gpu")
        self.stack.wait_ready("gpu")

    def second_gpu(self, name: str) -> Child:
        settings = self.stack.settings
        log = settings.data_dir / "logs" / f"{name}.log"
        child = Child(name, ["worker", "gpu"], environment=settings_environment(settings), log=log)
        child.start()
        return child

    def wait_for_gpus(self, count: int) -> None:
        deadline = time.monotonic() + READY_S
        while True:
            with self.stack.sessions() as session:
                if sum(row.kind == "gpu" for row in workers.live(session, within_s=3)) >= count:
                    return
            assert time.monotonic() < deadline, "the second worker never came up"
            time.sleep(0.2)

    def check(self, ids: list[str], **expected: int) -> None:
        check_books(self.stack.sessions, ids, self.stack.settings.files_path, **expected)

    def rows(self, ids: list[str]) -> list[Job]:
        return rows_of(self.stack.sessions, ids)


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    # Not under pytest's own folder: as root the database runs under a user that can't look into it.
    folder = Path("/tmp", f"packshot-faults-{os.getpid()}")
    database, broker = EmbeddedDatabase(folder / "postgres"), EmbeddedBroker(folder / "valkey")
    upgrade(database.url)
    settings = Settings(
        database_url=database.url,
        broker_url=broker.url,
        data_dir=folder,
        lease_s=4,
        sweep_s=0.5,
        heartbeat_s=1,
        retry_backoff_s=0.5,
        microbatch_images=8,
    )
    with running_stack(settings) as stack:
        yield Shop(stack, database, broker)
        stack.stop()
    broker.stop()
    database.stop()
    shutil.rmtree(folder)


def test_a_gpu_worker_killed_in_mid_batch(shop: Shop) -> None:
    ids = shop.submit_in_work(photos(16))
    shop.stack.kill("gpu")
    shop.start_gpu()
    shop.check(ids, succeeded=16)
    assert any(job.crashes for job in shop.rows(ids))


def test_only_the_pinned_process_killed(shop: Shop) -> None:
    """The supervisor starts it again by itself."""
    ids = shop.submit_in_work(photos(12, first=100))
    supervisor, pinned = shop.stack.pids("gpu")[0], shop.stack.worker_pid("gpu")
    assert supervisor != pinned
    os.kill(pinned, signal.SIGKILL)
    shop.check(ids, succeeded=12)
    assert shop.stack.pids("gpu")[0] == supervisor


def test_sigterm_in_mid_batch_blames_nobody(shop: Shop) -> None:
    ids = shop.submit_in_work(photos(16, first=200))
    shop.stack.stop("gpu")
    assert shop.stack.children["gpu"].returncode() == 0
    assert statuses(shop.stack.sessions, ids)["processing"] == 0  # nothing waits for a lease to lapse
    shop.start_gpu()
    shop.check(ids, succeeded=16)
    assert [job.crashes for job in shop.rows(ids)] == [0] * 16


def test_flushall_while_fifty_jobs_wait(shop: Shop) -> None:
    shop.stack.stop("gpu")
    ids = shop.submit(photos(50, first=300))
    with Redis.from_url(shop.broker.url) as client:
        client.flushall()
        shop.start_gpu()
        wait_for(shop.stack.sessions, ids, "processing")
        client.flushall()
    shop.check(ids, succeeded=50)


def test_the_api_accepts_while_the_broker_is_down(shop: Shop) -> None:
    shop.broker.stop()
    begun = time.monotonic()
    ids = shop.submit(photos(5, first=400))
    assert time.monotonic() - begun < 10
    assert shop.stack.client.get("/readyz").status_code == httpx.codes.OK
    time.sleep(max(0.0, 20 - (time.monotonic() - begun)))
    ids += shop.submit(photos(3, first=410))
    shop.broker.restart()
    shop.check(ids, succeeded=8)


def test_the_database_restarted_in_mid_batch(shop: Shop) -> None:
    ids = shop.submit_in_work(photos(12, first=500))
    os.kill(shop.database.pid, signal.SIGINT)  # PostgreSQL's fast shutdown: every connection is cut
    while shop.database.is_running():
        time.sleep(0.05)
    refused = shop.stack.client.get(f"/v1/jobs/{ids[0]}")
    assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert refused.json()["retryable"] is True
    time.sleep(2)
    shop.database.restart()
    shop.check(ids, succeeded=12)


def test_two_workers_race(shop: Shop) -> None:
    second = shop.second_gpu("gpu2")
    try:
        shop.wait_for_gpus(2)
        ids = shop.submit(photos(40, first=600))
        shop.check(ids, succeeded=40)
        jobs = shop.rows(ids)
        assert all(job.attempt == 1 for job in jobs)
        assert len({job.worker for job in jobs}) == 2
    finally:
        second.terminate()
        assert second.wait(30)


def test_a_stopped_worker_that_wakes_up_late_is_refused(shop: Shop) -> None:
    """Its lease lapses while it stands still, another worker finishes the jobs, then it goes on."""
    ids = shop.submit_in_work(photos(8, first=700))
    pinned = shop.stack.worker_pid("gpu")
    os.kill(pinned, signal.SIGSTOP)
    second = shop.second_gpu("gpu3")
    try:
        shop.check(ids, succeeded=8)
        before = [(job.attempt, job.completed_at) for job in shop.rows(ids)]
        os.kill(pinned, signal.SIGCONT)
        deadline = time.monotonic() + 30
        while "job_not_ours" not in shop.stack.log("gpu"):
            assert time.monotonic() < deadline, "it never tried to finish"
            time.sleep(0.2)
        assert [(job.attempt, job.completed_at) for job in shop.rows(ids)] == before
        shop.check(ids, succeeded=8)
    finally:
        second.terminate()
        assert second.wait(30)


def test_the_same_doorbell_three_times(shop: Shop) -> None:
    celery = build_celery(shop.stack.settings)
    second = shop.second_gpu("gpu4")  # so that two of the three are answered at the same time
    try:
        shop.wait_for_gpus(2)
        ids = shop.submit(photos(6, first=800))
        for _ in range(3):
            celery.send_task(TASKS[Bell.GPU], queue=Bell.GPU.value)
        shop.check(ids, succeeded=6)
        assert all(job.attempt == 1 for job in shop.rows(ids))
    finally:
        second.terminate()
        assert second.wait(30)
        celery.close()


def test_a_poison_image_in_a_batch_of_eight(shop: Shop) -> None:
    broken = photo(900)[:-4000]  # a good header, and the rest of the photo missing
    ids = shop.submit([*photos(4, first=900), broken, *photos(3, first=910)])
    shop.check(ids, succeeded=7, failed=1)
    assert shop.stack.job(ids[4])["error"]["code"] == "failed_to_read_image"


def test_a_killed_decoder_costs_no_worker(shop: Shop) -> None:
    worker = psutil.Process(shop.stack.worker_pid("gpu"))
    decoders = [child for child in worker.children(recursive=True) if "decode_child" in " ".join(child.cmdline())]
    assert decoders
    ids = shop.submit_in_work(photos(12, first=1000))
    for decoder in decoders:
        decoder.kill()
    shop.check(ids, succeeded=12)  # the photos in their hands are tried once more
    assert worker.is_running()


def test_fifty_parallel_submits(shop: Shop) -> None:
    ids: list[str] = []
    bodies = photos(50, first=1100, hw=(200, 300))
    threads = [threading.Thread(target=lambda body=body: ids.append(shop.stack.submit(body))) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 50
    shop.check(ids, succeeded=50)
