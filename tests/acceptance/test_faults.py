"""The whole stack under faults, with the real model: after each one the books are right.

Every accepted job stands in exactly one final status, its outputs were written once, and it has one event.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from redis import Redis
from sqlalchemy import select

from cli.embedded import EmbeddedBroker, EmbeddedDatabase
from cli.processes import Child, settings_environment
from cli.stack import Stack
from config.settings import Settings
from db.models import Job
from db.session import build_engine, build_sessions
from dispatch.celery_app import build_celery
from dispatch.names import TASKS, Bell
from jobs import keys
from jobs.ids import parse_job_id
from tests.acceptance.catalog import Catalog, photo

READY_S = 90


class Shop:
    """A running stack with a client, and means to hurt it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.stack = Stack(
            Settings(
                data_dir=folder,
                port=port,
                lease_s=4,
                sweep_s=0.5,
                heartbeat_s=1,
                retry_backoff_s=0.5,
                microbatch_images=4,
            )
        )
        self.stack.start_servers()
        self.settings = self.stack.settings
        self.engine = build_engine(self.settings.require_database_url())
        sessions = build_sessions(self.engine)
        with sessions.begin() as session:
            token = keys.create(session, "acceptance").token
        self.stack.start_services()
        self.stack.wait_until_ready(READY_S)
        self.catalog = Catalog(self.stack.url, token, sessions)

    def gpu(self) -> Child:
        return self.stack.children["gpu"]

    def restart_gpu(self) -> None:
        self.gpu().start()
        self.stack.wait_until_ready(READY_S)

    def check(self, ids: list[str], **expected: int) -> None:
        assert self.catalog.wait(ids) == expected
        self.catalog.check_books(ids, self.settings.files_path)

    def job(self, public_id: str) -> Job:
        with self.catalog.sessions() as session:
            return session.scalars(select(Job).where(Job.id == parse_job_id(public_id))).one()


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    # Not under pytest's own folder: as root the database runs under a user that can't look into it.
    folder = Path("/tmp", f"packshot-faults-{os.getpid()}")
    running = Shop(folder)
    yield running
    running.engine.dispose()
    assert running.stack.stop() == []


def test_a_gpu_worker_killed_in_mid_batch(shop: Shop) -> None:
    ids = shop.catalog.submit_many(16)
    shop.catalog.wait_for(ids, "processing")
    shop.gpu().kill(signal.SIGKILL)
    shop.restart_gpu()
    shop.check(ids, succeeded=16)
    assert any(shop.job(i).crashes for i in ids)


def test_only_the_pinned_process_killed(shop: Shop) -> None:
    """The supervisor starts it again by itself."""
    ids = shop.catalog.submit_many(12, first=100)
    shop.catalog.wait_for(ids, "processing")
    supervisor = psutil.Process(shop.gpu().pid)
    max(supervisor.children(), key=lambda p: p.memory_info().rss).kill()
    shop.check(ids, succeeded=12)
    assert supervisor.is_running()


def test_sigterm_in_mid_batch_blames_nobody(shop: Shop) -> None:
    ids = shop.catalog.submit_many(16, first=200)
    shop.catalog.wait_for(ids, "processing")
    shop.gpu().terminate()
    assert shop.gpu().wait(30)
    assert shop.gpu().returncode() == 0
    assert shop.catalog.statuses(ids)["processing"] == 0  # nothing waits for a lease to lapse
    shop.restart_gpu()
    shop.check(ids, succeeded=16)
    assert [shop.job(i).crashes for i in ids] == [0] * 16


def test_flushall_while_fifty_jobs_wait(shop: Shop) -> None:
    shop.gpu().terminate()
    assert shop.gpu().wait(30)
    ids = shop.catalog.submit_many(50, first=300)
    with Redis.from_url(shop.settings.require_broker_url()) as client:
        client.flushall()
    shop.restart_gpu()
    shop.check(ids, succeeded=50)


def test_the_api_accepts_while_the_broker_is_down(shop: Shop) -> None:
    broker = shop.stack._broker
    assert isinstance(broker, EmbeddedBroker)
    broker.stop()
    begun = time.monotonic()
    ids = shop.catalog.submit_many(5, first=400)
    assert time.monotonic() - begun < 10
    ready = httpx.get(f"{shop.stack.url}/readyz", trust_env=False)
    assert ready.status_code == 200
    time.sleep(max(0.0, 20 - (time.monotonic() - begun)))
    ids += shop.catalog.submit_many(3, first=410)
    broker.restart()
    shop.check(ids, succeeded=8)


def test_the_database_restarted_in_mid_batch(shop: Shop) -> None:
    database = shop.stack._database
    assert isinstance(database, EmbeddedDatabase)
    ids = shop.catalog.submit_many(12, first=500)
    shop.catalog.wait_for(ids, "processing")
    os.kill(database.pid, signal.SIGINT)  # PostgreSQL's fast shutdown: every connection is cut
    while database.is_running():
        time.sleep(0.05)
    refused = httpx.get(
        f"{shop.stack.url}/v1/jobs/{ids[0]}",
        headers={"Authorization": f"Bearer {shop.catalog.token}"},
        trust_env=False,
        timeout=30,
    )
    assert refused.status_code == 503
    assert refused.json()["retryable"] is True
    time.sleep(2)
    database.restart()
    shop.check(ids, succeeded=12)


def test_two_workers_race(shop: Shop) -> None:
    second = Child(
        "gpu2",
        ["worker", "gpu"],
        environment=settings_environment(shop.settings),
        log=shop.settings.data_dir / "logs" / "gpu2.log",
    )
    second.start()
    try:
        ids = shop.catalog.submit_many(40, first=600)
        shop.check(ids, succeeded=40)
        assert all(shop.job(i).attempt == 1 for i in ids)
    finally:
        second.terminate()
        assert second.wait(30)


def test_a_stopped_worker_that_wakes_up_late_is_refused(shop: Shop) -> None:
    """Its lease lapses while it stands still, another worker finishes the jobs, then it goes on."""
    ids = shop.catalog.submit_many(8, first=700)
    shop.catalog.wait_for(ids, "processing")
    shop.gpu().kill(signal.SIGSTOP)
    second = Child(
        "gpu3",
        ["worker", "gpu"],
        environment=settings_environment(shop.settings),
        log=shop.settings.data_dir / "logs" / "gpu3.log",
    )
    second.start()
    try:
        assert shop.catalog.wait(ids) == {"succeeded": 8}
        before = {i: (shop.job(i).attempt, shop.job(i).completed_at) for i in ids}
        shop.gpu().kill(signal.SIGCONT)
        time.sleep(5)
        assert {i: (shop.job(i).attempt, shop.job(i).completed_at) for i in ids} == before
        shop.catalog.check_books(ids, shop.settings.files_path)
    finally:
        shop.gpu().kill(signal.SIGCONT)
        second.terminate()
        assert second.wait(30)


def test_the_same_doorbell_three_times(shop: Shop) -> None:
    celery = build_celery(shop.settings)
    ids = shop.catalog.submit_many(6, first=800)
    for _ in range(3):
        celery.send_task(TASKS[Bell.GPU], queue=Bell.GPU.value)
    shop.check(ids, succeeded=6)
    assert all(shop.job(i).attempt == 1 for i in ids)
    celery.close()


def test_a_poison_image_in_a_batch_of_eight(shop: Shop) -> None:
    broken = photo(900)[:-4000]  # a good header, and the rest of the photo missing
    ids = [
        *shop.catalog.submit_many(4, first=900),
        shop.catalog.submit(broken),
        *shop.catalog.submit_many(3, first=910),
    ]
    shop.check(ids, succeeded=7, failed=1)
    failed = shop.catalog.get(ids[4])
    assert failed["error"]["code"] == "failed_to_read_image"


def test_a_killed_decoder_costs_no_worker(shop: Shop) -> None:
    worker = max(psutil.Process(shop.gpu().pid).children(), key=lambda p: p.memory_info().rss)
    decoders = [p for p in worker.children(recursive=True) if "decode_child" in " ".join(p.cmdline())]
    assert decoders
    ids = shop.catalog.submit_many(12, first=1000)
    shop.catalog.wait_for(ids, "processing")
    for decoder in decoders:
        decoder.kill()
    statuses = shop.catalog.wait(ids)
    assert statuses["succeeded"] >= 10  # at most the two photos in the killed decoders' hands
    assert sum(statuses.values()) == 12
    shop.catalog.check_books(ids, shop.settings.files_path)
    assert worker.is_running()


def test_fifty_parallel_submits(shop: Shop) -> None:
    bodies = [photo(1100 + n, (200, 300)) for n in range(50)]
    ids: list[str] = []
    threads = [threading.Thread(target=lambda b=body: ids.append(shop.catalog.submit(b))) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 50
    shop.check(ids, succeeded=50)
