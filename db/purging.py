"""What leaves the database, and which files go with it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from db.batch_models import Batch, Upload
from db.models import Job, Matte, Output
from db.put_models import Put

_ROW_ID = re.compile(r"(?<=/)[0-9a-f]{32}(?=[/.])")


@dataclass(frozen=True)
class Purge:
    """Storage keys that no row needs any more, to be removed after the commit."""

    keys: tuple[str, ...]


def purge_files(session: Session, job: Job) -> Purge:
    """Forget a job's files; its matte goes with its last user. The rows' claims end here, the files after commit.

    The caller has locked the job; outputs go before PUTs (`db.puts`), the matte comes last. A job whose files are
    gone is no user of its matte any more and must not wait for it: whoever holds that one may wait for this job.
    """
    if job.files_purged_at is not None:
        return Purge(())
    outputs = session.scalars(delete(Output).where(Output.job_id == job.id).returning(Output.key)).all()
    session.execute(delete(Put).where(Put.job_id == job.id))
    # A photo out of an upload is the upload's: it goes when that has expired and no job needs it.
    keys = [key for key in (*outputs, None if job.upload_id else job.input_key) if key]
    session.execute(
        update(Job)
        .where(Job.id == job.id)
        .values(files_purged_at=func.now(), input_key=None, source_url=None, upload_id=None)
        .execution_options(synchronize_session=False)
    )
    if job.upload_id is not None:
        # A photo out of a ZIP is nobody else's, unless its batch was run again: it need not wait for further jobs.
        session.execute(
            update(Upload)
            .where(Upload.id == job.upload_id, Upload.batch_id.is_not(None))
            .values(expires_at=func.now())
            .execution_options(synchronize_session=False)
        )
    if job.matte_id is not None:
        # Lock first, then look: a claim that just chose this matte holds a key share, and is seen once it commits.
        session.execute(select(Matte.id).where(Matte.id == job.matte_id).with_for_update())
        used = exists().where(Job.matte_id == job.matte_id, Job.files_purged_at.is_(None))
        if not session.scalar(select(used)):
            session.execute(
                update(Job)
                .where(Job.matte_id == job.matte_id)
                .values(matte_id=None)
                .execution_options(synchronize_session=False)
            )
            keys += session.scalars(delete(Matte).where(Matte.id == job.matte_id).returning(Matte.key)).all()
    return Purge(tuple(keys))


def due_for_purge(session: Session, *, limit: int) -> Sequence[Job]:
    """Lock finished jobs whose files are past retention, by the database's clock.

    In the order of their mattes: two that purge at once take these in one order.
    """
    due = session.scalars(
        select(Job)
        .where(Job.expires_at <= func.now(), Job.files_purged_at.is_(None))
        .order_by(Job.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    return sorted(due, key=lambda job: job.matte_id or job.id)


def delete_rows(session: Session, *, older_than: datetime, limit: int) -> int:
    """Remove the rows of finished jobs whose files are purged and whose own retention is over."""
    old = (
        select(Job.id)
        .where(Job.completed_at < older_than, Job.files_purged_at.is_not(None))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    removed = session.scalars(delete(Job).where(Job.id.in_(old)).returning(Job.id)).all()
    return len(removed)


def named_keys(session: Session, keys: Sequence[str]) -> set[str]:
    """Those of the storage keys that a row names.

    Every key carries its row's id, so no index on keys is needed, but for mattes: a row that was there already takes
    the file of a later one (`keep_matte`), whose key carries another id.
    """
    ids = {UUID(hex=digits) for key in keys for digits in _ROW_ID.findall(key)}
    named: set[str] = set()
    for column, row_id in (
        (Job.input_key, Job.id),
        (Output.key, Output.job_id),
        (Upload.key, Upload.id),
        (Batch.manifest_key, Batch.id),
    ):
        named.update(key for key in session.scalars(select(column).where(row_id.in_(ids))) if key)
    named.update(session.scalars(select(Matte.key).where(Matte.key.in_(keys))))
    return named.intersection(keys)
