"""A batch whose worker dies in the middle goes on where it was: no line is lost, none becomes two jobs."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select, update

from config.settings import Settings
from db.batch_models import BadLine, Batch, BatchStatus, LineSource, Upload
from db.models import Job
from jobs import batch_work
from storage.keys import manifest_key
from storage.local import LocalStorage
from storage.port import StorageUnavailableError
from tests.batch_rows import LINES, break_down, create, die_after, job_lines, manifest, read, wake_up
from tests.batches import BatchWorker, batch_worker, zipped
from tests.fakes import keys_of
from tests.images import draw
from tests.photo_files import save
from worker import batch as stretch

PHOTO = save(draw("disc", "plain", (16, 16)).image, "PNG")


@pytest.fixture
def worker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchWorker]:
    monkeypatch.setattr(stretch, "_CHUNK_LINES", 10)
    monkeypatch.setattr(stretch, "_CHUNK_PHOTOS", 4)
    with batch_worker(settings) as worker:
        yield worker


@pytest.fixture
def storage(settings: Settings) -> LocalStorage:
    return LocalStorage(settings.files_path)


@pytest.mark.parametrize("step", ["note_lines", "expand", "start", "end_expansion"])
def test_killed_in_the_middle(step, worker, sessions, storage, monkeypatch) -> None:
    batch_id = create(sessions, storage, manifest())
    with monkeypatch.context() as patch:
        calls = 2 if step in {"note_lines", "expand"} else 0
        patch.setattr(batch_work, step, die_after(calls, getattr(batch_work, step)))
        break_down(worker)
    held = read(sessions, batch_id)
    assert held.crashes == 0  # the database was away
    if step in {"note_lines", "expand"}:
        assert held.cursor_line in {20, 21}  # two chunks, of all lines or of the good ones
    worker.work()
    assert read(sessions, batch_id).cursor_line == held.cursor_line  # still leased
    wake_up(sessions)
    worker.work()
    done = read(sessions, batch_id)
    good = [n for n in range(1, LINES + 1) if n % 20]
    assert (done.status, done.lines, done.invalid, done.total) == (BatchStatus.IN_PROGRESS, LINES, 2, len(good))
    assert done.due_at is None
    assert job_lines(sessions, batch_id) == good
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(BadLine)) == 2


def test_a_late_worker_changes_nothing(worker, sessions, storage) -> None:
    batch_id = create(sessions, storage, manifest(10))
    with sessions.begin() as session:
        [late] = batch_work.claim(session, limit=1, lease_s=60)
    wake_up(sessions)
    worker.work()
    before = job_lines(sessions, batch_id)
    stretch.run(worker.batching, late)
    assert job_lines(sessions, batch_id) == before
    assert read(sessions, batch_id).lines == 10


def test_a_stopping_worker_gives_the_batch_back(worker, sessions, storage) -> None:
    batch_id = create(sessions, storage, manifest())
    worker.io.stop.set()
    assert worker.lane.fill()
    for future in worker.lane.running():
        future.result()
    given_back = read(sessions, batch_id)
    assert (given_back.status, given_back.cursor_line) == (BatchStatus.VALIDATING, 10)
    with sessions() as session:
        assert session.scalar(select(Batch.due_at <= func.now()))


def test_a_zip_goes_on_where_it_was_and_stores_each_photo_once(worker, sessions, storage, monkeypatch) -> None:
    files = {f"{n}.png": PHOTO for n in range(10)}
    batch_id = create(sessions, storage, zipped(files), LineSource.ZIP)
    with monkeypatch.context() as patch:
        patch.setattr(batch_work, "note_lines", die_after(1, batch_work.note_lines))
        break_down(worker)
    assert read(sessions, batch_id).cursor_line == 4
    wake_up(sessions)
    worker.work()
    assert job_lines(sessions, batch_id) == list(range(1, 11))
    with sessions() as session:
        named = set(session.scalars(select(Upload.key)))
    assert len(named) == 10
    # Those of the broken chunk have no row: the sweep of orphans takes them.
    assert len(set(keys_of(storage, "uploads")) - named) == 4


def test_a_store_that_is_away_puts_the_batch_off(worker, sessions, storage, monkeypatch) -> None:
    batch_id = create(sessions, storage, manifest(5))
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "open", _away)
        worker.work()
    put_off = read(sessions, batch_id)
    assert (put_off.status, put_off.crashes) == (BatchStatus.VALIDATING, 0)
    wake_up(sessions)
    worker.work()
    assert job_lines(sessions, batch_id) == [1, 2, 3, 4, 5]


def _away(*_: object) -> None:
    raise StorageUnavailableError("away")


def test_a_lost_manifest_fails_the_batch(worker, sessions, storage) -> None:
    batch_id = create(sessions, storage, manifest(5))
    storage.delete(manifest_key(batch_id))
    worker.work()
    lost = read(sessions, batch_id)
    assert (lost.status, lost.error_code) == (BatchStatus.FAILED, "source_lost")


def test_a_line_that_can_t_run_any_more_becomes_a_failed_job(worker, sessions, storage, monkeypatch) -> None:
    batch_id = create(sessions, storage, manifest(3))
    with monkeypatch.context() as patch:
        patch.setattr(batch_work, "expand", die_after(0, batch_work.expand))
        break_down(worker)
    with sessions.begin() as session:  # as if a model had been uninstalled meanwhile
        session.execute(update(Batch).values(options={"model": "gone"}))
    wake_up(sessions)
    worker.work()
    with sessions() as session:
        assert session.scalars(select(Job.error_code)).all() == ["unknown_model"] * 3
    worker.sweep()
    done = read(sessions, batch_id)
    assert (done.status, done.failed) == (BatchStatus.COMPLETED, 3)


def test_two_workers_share_no_line(worker, settings, sessions, storage) -> None:
    batch_ids = [create(sessions, storage, manifest(60)) for _ in range(2)]
    with batch_worker(settings) as other:
        threads = [threading.Thread(target=one.work) for one in (worker, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for batch_id in batch_ids:
        assert job_lines(sessions, batch_id) == [n for n in range(1, 61) if n % 20]


def test_manifests_and_rows_go_with_their_retention(worker, sessions, storage) -> None:
    batch_id = create(sessions, storage, b"\n")
    worker.work()
    with sessions.begin() as session:
        session.execute(update(Batch).values(completed_at=func.now() - func.make_interval(0, 0, 0, 8)))
    worker.sweep()
    assert read(sessions, batch_id).files_purged_at is not None
    assert keys_of(storage) == []
    with sessions.begin() as session:
        session.execute(update(Batch).values(completed_at=func.now() - func.make_interval(0, 0, 0, 31)))
    assert worker.sweep()["batches_forgotten"] == 1
