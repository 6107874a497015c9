"""Batches as rows, and workers that break off in the middle of them."""

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from db.batch_models import Batch, LineSource
from db.models import Job
from db.session import Sessions
from jobs import batches
from jobs.batches import NewBatch
from jobs.ids import new_id
from storage.keys import manifest_key
from storage.local import LocalStorage
from tests.batches import BatchWorker, jsonl
from tests.factories import make_key

LINES = 46


def create(sessions: Sessions, storage: LocalStorage, body: bytes, source: LineSource = LineSource.JSONL) -> UUID:
    batch_id = new_id()
    key = manifest_key(batch_id)
    storage.put(key, body)
    with sessions.begin() as session:
        owner = make_key(session).id
        new = NewBatch(
            batch_id, owner, source, "m", key, len(body), {}, {}, None,
            item_webhooks=False, skip_invalid=True, base_url="https://packshot.example",
        )  # fmt: skip
        batches.create(session, new)
    return batch_id


def manifest(lines: int = LINES) -> bytes:
    return jsonl(*({"image_url": f"https://shop.example/{n}.jpg" if n % 20 else "bad"} for n in range(1, lines + 1)))


def read(sessions: Sessions, batch_id: UUID) -> Batch:
    with sessions() as session:
        return session.get_one(Batch, batch_id)


def wake_up(sessions: Sessions) -> None:
    """The lease of the dead worker runs out."""
    with sessions.begin() as session:
        session.execute(update(Batch).where(Batch.due_at.is_not(None)).values(due_at=func.now()))


def break_down(worker: BatchWorker) -> None:
    """Until no batch is due; stretches may break off."""
    with capture_logs():  # a traceback on the console takes seconds
        while worker.lane.fill() or worker.lane.running():
            for future in worker.lane.running():
                future.exception()


def database_away() -> Exception:
    return OperationalError("killed", None, Exception())


def bug() -> Exception:
    return RuntimeError("nobody foresaw this")


def die_after(
    calls: int, real: Callable[..., object], error: Callable[[], Exception] = database_away
) -> Callable[..., object]:
    """Does its work `calls` times; then the transaction breaks off before its commit."""
    left = iter(range(calls))

    def work(*args: object, **named: object) -> object:
        done = real(*args, **named)
        if next(left, None) is None:
            raise error()
        return done

    return work


def job_lines(sessions: Sessions, batch_id: UUID) -> list[int]:
    with sessions() as session:
        return list(session.scalars(select(Job.line).where(Job.batch_id == batch_id).order_by(Job.line)))
