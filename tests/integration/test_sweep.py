"""The sweeper: what was lost is found, what is over is removed, and nothing else is touched."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from redis import Redis
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from config.settings import Settings
from db import workers
from db.base import JobStatus, Verdict
from db.models import Fetch, Job, Matte, Output
from db.session import Sessions
from db.webhook_models import WebhookDelivery, WebhookEvent
from db.worker_models import WorkerHeartbeat
from jobs import claiming, service, work
from jobs.ids import job_public_id, new_id
from jobs.values import ClaimedJob, NewMatte, Outcome, StoredOutput
from storage.local import LocalStorage
from storage.port import StorageUnavailableError
from tests.factories import make_job, make_key
from worker import sweep

Build = Callable[..., sweep.SweepResources]
TERMS = claiming.Terms(worker="gpu0@test", lease_s=60, resolve=lambda _: ("unet-fast@1", "torch"))


@pytest.fixture
def build(settings: Settings) -> Iterator[Build]:
    built = []

    def make(*, storage: LocalStorage | None = None, **changes: object) -> sweep.SweepResources:
        built.append(sweep.build(Settings(**{**settings.model_dump(), **changes}), storage=storage))
        return built[-1]

    yield make
    for res in built:
        res.close()


@pytest.fixture
def storage(settings: Settings) -> LocalStorage:
    return LocalStorage(settings.files_path)


def keys_of(storage: LocalStorage) -> set[str]:
    return {file.key for prefix in ("jobs", "mattes", "other") for file in storage.list(prefix)}


def make_old(settings: Settings, key: str, seconds: float = 7200) -> None:
    path = Path(settings.files_path, key)
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def age(session: Session, job_id: UUID, **ago: timedelta) -> None:
    """Warp time: move a job's stamps into the past."""
    values = {column: func.now() - pause for column, pause in ago.items()}
    session.execute(update(Job).where(Job.id == job_id).values(**values))


def finish(sessions: Sessions, storage: LocalStorage, *, ago: timedelta, matte: UUID | None = None) -> ClaimedJob:
    """A job that succeeded a while ago with input, output and matte in the store."""
    with sessions.begin() as session:
        job_id = make_job(session, make_key(session).id, webhook_url="https://catalog.example/hook").id
    with sessions.begin() as session:
        [job] = claiming.claim(session, TERMS, limit=1, megapixels=100)
    matte_id = matte or new_id()
    files = [f"jobs/{job_id.hex}/input", f"jobs/{job_id.hex}/1/cutout.png", f"mattes/{matte_id.hex}.png"]
    for key in files:
        storage.put(key, b"x")
    cutout = StoredOutput("cutout", files[1], "png", "0" * 64, 10, 10, 1)
    kept = NewMatte(matte_id, files[2], "0" * 64, 10, 10, 1)
    outcome = Outcome([cutout], Verdict.PASS, [], {}, "unet-fast@1", "torch", {}, kept)
    with sessions.begin() as session:
        work.complete(session, job, outcome)
        age(session, job_id, completed_at=ago, expires_at=ago - timedelta(days=7))
    return job


def test_due_rows_are_rung_for_until_somebody_takes_them(build: Build, sessions: Sessions, broker: str) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        make_job(session, key)
    res = build()
    with Redis.from_url(broker) as redis:
        assert sweep.sweep(res)["rung"] == 1
        assert (redis.llen("gpu"), redis.llen("io")) == (1, 0)
        redis.flushall()  # the message is lost
        assert sweep.sweep(res)["rung"] == 1
        assert redis.llen("gpu") == 1
        redis.delete("gpu")  # the message is lost, its mark still stands
        sweep.sweep(res)
        assert redis.llen("gpu") == 1
        with sessions.begin() as session:
            make_job(session, key, source="https://shop.example/photo.jpg")
        assert sweep.sweep(res)["rung"] == 2
        assert redis.llen("io") == 1


def test_nothing_due_rings_nobody(build: Build, sessions: Sessions, broker: str) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        make_job(session, key)
        job_id = make_job(session, key, source="https://shop.example/photo.jpg").id
        session.execute(update(Job).where(Job.id != job_id).values(due_at=func.now() + timedelta(minutes=1)))
        session.execute(update(Fetch).values(due_at=func.now() + timedelta(minutes=1)))
    assert not any(sweep.sweep(build()).values())
    with Redis.from_url(broker) as redis:
        assert (redis.llen("gpu"), redis.llen("io")) == (0, 0)


def test_a_dead_workers_jobs_are_due_again_and_rung_for_at_once(build: Build, sessions) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        for _ in range(3):
            make_job(session, key)
    with sessions.begin() as session:
        lost = claiming.claim(session, TERMS, limit=2, megapixels=100)
        held = claiming.claim(session, TERMS, limit=1, megapixels=100)
        session.execute(update(Job).where(Job.id.in_([job.id for job in lost])).values(leased_until=func.now()))
    report = sweep.sweep(build())
    assert (report["returned"], report["rung"]) == (2, 1)
    with sessions() as session:
        rows = {job.id: (job.status, job.crashes) for job in session.scalars(select(Job))}
    assert all(rows[job.id] == (JobStatus.QUEUED, 1) for job in lost)
    assert rows[held[0].id] == (JobStatus.PROCESSING, 0)


def test_files_go_at_the_end_of_their_retention_rows_stay(build: Build, sessions, storage: LocalStorage) -> None:
    old = finish(sessions, storage, ago=timedelta(days=8))
    recent = finish(sessions, storage, ago=timedelta(days=6))
    assert sweep.sweep(build())["purged"] == 1
    assert {key.split("/")[1][:32] for key in keys_of(storage) if key.startswith("jobs")} == {recent.id.hex}
    assert len([key for key in keys_of(storage) if key.startswith("mattes")]) == 1
    with sessions() as session:
        job = session.get_one(Job, old.id)
        assert (job.status, job.input_key, job.matte_id) == (JobStatus.SUCCEEDED, None, None)
        assert job.files_purged_at is not None
        assert session.scalars(select(Output.job_id)).all() == [recent.id]
        assert session.scalar(select(func.count()).select_from(Matte)) == 1
        assert session.scalar(select(func.count()).select_from(WebhookEvent)) == 2
    assert sweep.sweep(build()).get("purged") == 0


def test_more_than_one_transactions_worth_is_purged(build: Build, sessions: Sessions) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        for _ in range(250):
            job = make_job(session, key)
            service.cancel(session, job_public_id(job.id), api_key_id=key)
        session.execute(update(Job).values(expires_at=func.now() - timedelta(days=1)))
    assert sweep.sweep(build())["purged"] == 250


def test_rows_go_at_the_end_of_theirs(build: Build, sessions, storage: LocalStorage) -> None:
    finish(sessions, storage, ago=timedelta(days=31))
    recent = finish(sessions, storage, ago=timedelta(days=29))
    with sessions.begin() as session:
        waiting = make_job(session, make_key(session).id).id
        age(session, waiting, created_at=timedelta(days=40))
    report = sweep.sweep(build())
    assert (report["purged"], report["forgotten"]) == (2, 1)
    with sessions() as session:
        assert set(session.scalars(select(Job.id))) == {recent.id, waiting}
        assert session.scalars(select(WebhookEvent.job_id)).all() == [recent.id]
        assert session.scalar(select(func.count()).select_from(WebhookDelivery)) == 1


def test_files_that_no_row_names_are_removed_when_old(build, sessions, settings, storage: LocalStorage) -> None:
    job = finish(sessions, storage, ago=timedelta(hours=1))
    named = keys_of(storage)
    orphans = [
        f"jobs/{new_id().hex}/input",  # a submit that was never committed
        f"jobs/{job.id.hex}/7/cutout.png",  # a late worker's output
        f"jobs/{job.id.hex}/input-3",  # a late download
        f"mattes/{new_id().hex}.png",
        f"jobs/{job.id.hex}/tmp-abc_12",  # a write that was cut off
    ]
    fresh = f"jobs/{new_id().hex}/input"
    foreign = "other/file"
    for key in [*orphans, fresh, foreign]:
        storage.put(key, b"x")
    for key in [*orphans, *named, foreign]:
        make_old(settings, key)
    assert sweep.sweep(build())["orphans"] == len(orphans)
    assert keys_of(storage) == {*named, fresh, foreign}


def test_the_search_for_orphans_pauses(build: Build, settings: Settings, storage: LocalStorage) -> None:
    res = build(orphan_pause_s=600)
    assert sweep.sweep(res)["orphans"] == 0
    key = f"jobs/{new_id().hex}/input"
    storage.put(key, b"x")
    make_old(settings, key)
    assert sweep.sweep(res)["orphans"] == 0
    eager = build(orphan_pause_s=0)
    assert sweep.sweep(eager)["orphans"] == 1


def test_a_large_store_is_searched_in_stretches(storage: LocalStorage) -> None:
    for _ in range(25):
        storage.put(f"jobs/{new_id().hex}/input", b"x")
    search = sweep.OrphanSearch(storage, pause_s=600)
    stretches = [search.stretch(10) for _ in range(4)]
    assert [len(stretch) for stretch in stretches] == [10, 10, 5, 0]
    assert len({file.key for stretch in stretches for file in stretch}) == 25


def test_silent_workers_are_forgotten(build: Build, sessions: Sessions) -> None:
    with sessions.begin() as session:
        for name in ("old", "live"):
            workers.beat(session, name, progressed=True, kind="gpu", pid=1)
        session.execute(
            update(WorkerHeartbeat).where(WorkerHeartbeat.name == "old").values(beat_at=func.now() - timedelta(days=2))
        )
    assert sweep.sweep(build())["silent_workers"] == 1
    with sessions() as session:
        assert session.scalars(select(WorkerHeartbeat.name)).all() == ["live"]


class BrokenStorage(LocalStorage):
    """A store that refuses to remove and to list."""

    def delete(self, key: str) -> None:
        raise StorageUnavailableError(key)

    def list(self, prefix: str) -> Iterator[object]:
        raise StorageUnavailableError(prefix)


def test_a_store_that_is_away_stops_no_other_step(build: Build, sessions, settings, storage: LocalStorage) -> None:
    job = finish(sessions, storage, ago=timedelta(days=31))
    with sessions.begin() as session:
        make_job(session, make_key(session).id)
    report = sweep.sweep(build(storage=BrokenStorage(settings.files_path)))
    assert "purged" not in report
    assert "orphans" not in report
    assert (report["rung"], report["forgotten"]) == (2, 1)
    # What the purge could not remove is an orphan now, found when the store is back.
    left = keys_of(storage)
    assert any(job.id.hex in key for key in left)
    for key in left:
        make_old(settings, key)
    assert sweep.sweep(build())["orphans"] == len(left)


def test_a_dead_broker_stops_no_other_step(build: Build, sessions, storage: LocalStorage) -> None:
    finish(sessions, storage, ago=timedelta(days=8))
    report = sweep.sweep(build(broker_url="redis://127.0.0.1:1/0"))
    assert (report["rung"], report["purged"]) == (0, 1)


def test_a_dead_database_is_survived(build: Build) -> None:
    res = build(database_url="postgresql://nobody@127.0.0.1:1/none")
    assert sweep.sweep(res) == {"orphans": 0}


def test_two_sweepers_at_once_do_everything_once(build: Build, sessions, storage: LocalStorage) -> None:
    for _ in range(6):
        finish(sessions, storage, ago=timedelta(days=8))
    with sessions.begin() as session:
        key = make_key(session).id
        for _ in range(30):
            make_job(session, key)
    with sessions.begin() as session:
        claiming.claim(session, TERMS, limit=30, megapixels=1000)
        session.execute(update(Job).where(Job.status == JobStatus.PROCESSING).values(leased_until=func.now()))
    reports: list[dict[str, int]] = []
    sweepers = [build(), build()]
    threads = [threading.Thread(target=lambda res=res: reports.append(sweep.sweep(res))) for res in sweepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(report["returned"] for report in reports) == 30
    assert sum(report["purged"] for report in reports) == 6
    with sessions() as session:
        assert set(session.scalars(select(Job.crashes).where(Job.status == JobStatus.QUEUED))) == {1}
    assert keys_of(storage) == set()
