"""What the sweeper does for batches and uploads: count, end, expire, purge, forget. Each step is bounded."""

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import func

from db import batches as rows
from db import uploads
from db.batch_models import BatchStatus
from db.session import Sessions
from dispatch.doorbell import Doorbell
from dispatch.names import Bell
from jobs import batch_ends
from storage.port import Storage

_LIMIT = 100
_COUNTED = 20  # batches counted in one sweep, those counted longest ago first: it bounds what counting costs


def take_stock(sessions: Sessions) -> int:
    """Count the jobs of batches in progress; returns how many batches were through with theirs."""
    with sessions.begin() as session:
        batches = rows.running(session, BatchStatus.IN_PROGRESS, limit=_COUNTED)
        return sum(batch_ends.take_stock(session, batch) for batch in batches)


def complete(sessions: Sessions, bell: Doorbell) -> int:
    """End the batches whose jobs have all ended."""
    with sessions.begin() as session:
        batches = rows.running(session, BatchStatus.FINALIZING, limit=_LIMIT)
        heard = sum(batch_ends.complete(session, batch) for batch in batches)
    if heard:
        bell.ring(Bell.IO)
    return len(batches)


def expire(sessions: Sessions, bell: Doorbell) -> int:
    """Batches whose deadline passed are ended by an io worker."""
    with sessions.begin() as session:
        expired = sum(batch_ends.expire(session, batch_id) for batch_id in rows.past_deadline(session, limit=_LIMIT))
    if expired:
        bell.ring(Bell.IO)
    return expired


def purge(sessions: Sessions, storage: Storage, *, retention: timedelta) -> int:
    """Manifests of batches that ended longer ago than `retention`; their jobs' files have times of their own."""
    with sessions.begin() as session:
        older_than = session.scalars(func.now()).one() - retention
        due = rows.due_for_purge(session, older_than=older_than, limit=_LIMIT)
        keys = [rows.purge(session, batch) for batch in due]
    _remove(storage, keys)
    return len(keys)


def forget(sessions: Sessions, *, retention: timedelta) -> int:
    """Rows of batches that ended longer ago than `retention`, once their jobs are forgotten."""
    with sessions.begin() as session:
        older_than = session.scalars(func.now()).one() - retention
        return rows.forget(session, older_than=older_than, limit=_LIMIT)


def remove_uploads(sessions: Sessions, storage: Storage) -> int:
    """Uploads that have expired and that no job needs."""
    with sessions.begin() as session:
        keys = uploads.remove_expired(session, limit=_LIMIT)
    _remove(storage, keys)
    return len(keys)


def _remove(storage: Storage, keys: Iterable[str | None]) -> None:
    for key in keys:
        if key is not None:
            storage.delete(key)
