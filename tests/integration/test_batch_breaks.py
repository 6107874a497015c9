"""A batch whose work breaks off in an error that nobody foresaw is tried again a few times, then ended, jobs first."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from config.settings import Settings
from db import batches as rows
from db.base import JobStatus
from db.batch_models import Batch, BatchStatus
from db.models import Job
from db.session import Sessions
from db.webhook_models import WebhookEvent
from jobs import batch_ends, batch_work, batches
from jobs.batches import public_id
from storage.keys import manifest_key
from storage.local import LocalStorage
from tests.batch_rows import break_down, bug, create, die_after, job_lines, manifest, read, wake_up
from tests.batches import BatchWorker, batch_worker
from worker import batch as stretch


@pytest.fixture
def worker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchWorker]:
    monkeypatch.setattr(stretch, "_CHUNK_LINES", 10)
    with batch_worker(settings) as worker:
        yield worker


@pytest.fixture
def storage(settings: Settings) -> LocalStorage:
    return LocalStorage(settings.files_path)


def due_in_s(sessions: Sessions, batch_id: UUID) -> float:
    with sessions() as session:
        return float(
            session.scalars(select(func.extract("epoch", Batch.due_at - func.now())).filter_by(id=batch_id)).one()
        )


def break_down_often(worker: BatchWorker, sessions: Sessions, batch_id: UUID) -> list[int]:
    """As often as a batch survives it; what was counted each time."""
    counted = []
    for _ in range(worker.io.settings.max_crashes):
        break_down(worker)
        counted.append(read(sessions, batch_id).crashes)
        wake_up(sessions)
    return counted


@pytest.mark.parametrize("step", ["note_lines", "start"])
def test_judging_that_breaks_off_again_and_again_fails_the_batch(step, worker, sessions, storage, monkeypatch) -> None:
    batch_id = create(sessions, storage, manifest(5))
    monkeypatch.setattr(batch_work, step, die_after(0, getattr(batch_work, step), bug))
    break_down(worker)
    first = read(sessions, batch_id)
    assert (first.status, first.crashes) == (BatchStatus.VALIDATING, 1)
    assert 3 < due_in_s(sessions, batch_id) < 7  # not at the end of its lease
    wake_up(sessions)
    break_down(worker)
    assert 7 < due_in_s(sessions, batch_id) < 13
    wake_up(sessions)
    break_down(worker)
    assert read(sessions, batch_id).status is BatchStatus.VALIDATING
    wake_up(sessions)
    break_down(worker)
    broke = read(sessions, batch_id)
    assert (broke.status, broke.error_code, broke.crashes) == (BatchStatus.FAILED, "batch_broke", 4)
    assert (broke.due_at, broke.total) == (None, 0)
    with sessions() as session:
        assert session.scalars(select(WebhookEvent.type)).all() == ["batch.failed"]


def test_a_chunk_in_between_sets_the_count_back(worker, sessions, storage, monkeypatch) -> None:
    batch_id = create(sessions, storage, manifest())
    with monkeypatch.context() as patch:
        patch.setattr(batch_work, "note_lines", die_after(2, batch_work.note_lines, bug))
        assert break_down_often(worker, sessions, batch_id) == [1, 2, 3]
    with monkeypatch.context() as patch:
        patch.setattr(batch_work, "expand", die_after(2, batch_work.expand, bug))
        assert break_down_often(worker, sessions, batch_id) == [1, 2, 3]
    worker.work()
    done = read(sessions, batch_id)
    assert (done.status, done.crashes, done.made) == (BatchStatus.IN_PROGRESS, 0, 44)


def end_of(sessions: Sessions, batch_id: UUID) -> tuple[Any, ...]:
    """How it ended, and its counts: all, succeeded, failed, canceled."""
    batch = read(sessions, batch_id)
    return batch.status, batch.error_code, (batch.total, batch.succeeded, batch.failed, batch.canceled)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[BatchStatus, int]]:
    """After each step of ending: where the batch stands, and how many of its jobs are open."""
    seen: list[tuple[BatchStatus, int]] = []
    real = batch_ends.end_some

    def end_some(session: Session, batch: Batch, *, limit: int) -> tuple[bool, bool]:
        done = real(session, batch, limit=limit)
        status = session.scalars(select(Batch.status).where(Batch.id == batch.id)).one()
        seen.append((status, sum(rows.count(session, batch.id).get(each, 0) for each in rows.OPEN)))
        return done

    monkeypatch.setattr(batch_ends, "end_some", end_some)
    return seen


def stop_expanding(worker: BatchWorker, sessions: Sessions, batch_id: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 of 44 lines become jobs, of which one fails; then the stretch breaks off."""
    with monkeypatch.context() as patch:
        patch.setattr(batch_work, "expand", die_after(2, batch_work.expand, bug))
        break_down(worker)
    assert len(job_lines(sessions, batch_id)) == 20
    failed = {"status": JobStatus.FAILED, "error_code": "fetch_failed", "completed_at": func.now(), "due_at": None}
    with sessions.begin() as session:
        session.execute(update(Job).where(Job.line == 3).values(expires_at=func.now(), **failed))
    wake_up(sessions)


@pytest.mark.parametrize("code", ["source_lost", "batch_broke"])
def test_a_batch_that_can_t_go_on_ends_its_jobs_first(
    code, worker, sessions, storage, monkeypatch, looks: list[tuple[BatchStatus, int]]
) -> None:
    batch_id = create(sessions, storage, manifest())
    stop_expanding(worker, sessions, batch_id, monkeypatch)
    if code == "source_lost":
        storage.delete(manifest_key(batch_id))
        worker.work()
    else:
        monkeypatch.setattr(batch_work, "expand", die_after(0, batch_work.expand, bug))
        break_down_often(worker, sessions, batch_id)
        break_down(worker)
    assert looks == [(BatchStatus.CANCELING, 9), (BatchStatus.FAILED, 0)]
    assert end_of(sessions, batch_id) == (BatchStatus.FAILED, code, (44, 0, 1, 43))
    assert len(job_lines(sessions, batch_id)) == 20  # no further lines
    worker.sweep()
    assert end_of(sessions, batch_id) == (BatchStatus.FAILED, code, (44, 0, 1, 43))
    with sessions() as session:
        assert session.scalars(select(WebhookEvent.type)).all() == ["batch.failed"]


def test_ending_jobs_goes_on_however_often_it_breaks_off(worker, sessions, storage, monkeypatch) -> None:
    batch_id = create(sessions, storage, manifest(5))
    worker.work()
    with sessions.begin() as session:
        batches.cancel(session, public_id(batch_id), api_key_id=read(sessions, batch_id).api_key_id)
    with monkeypatch.context() as patch:
        patch.setattr(batch_ends, "end_some", die_after(0, batch_ends.end_some, bug))
        break_down_often(worker, sessions, batch_id)
        break_down(worker)
    assert (read(sessions, batch_id).status, read(sessions, batch_id).crashes) == (BatchStatus.CANCELING, 4)
    wake_up(sessions)
    worker.work()
    assert end_of(sessions, batch_id) == (BatchStatus.CANCELED, None, (5, 0, 0, 5))
