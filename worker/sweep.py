"""The sweeper: mends what messages, workers and callers left behind. Everything here may run twice at once.

Each step is a transaction of its own, bounded, and files go after the commit that forgets them; a file that stays
behind is found as an orphan later. One step that fails leaves the others to their work.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain, islice

import structlog
from sqlalchemy import Engine, func
from sqlalchemy.exc import SQLAlchemyError

from config.settings import Settings
from db import idempotency, outgoing, purging, webhooks, workers
from db.session import Sessions, build_engine, build_sessions
from dispatch.celery_app import build_celery
from dispatch.doorbell import Doorbell
from dispatch.names import Bell
from jobs import deadlines, endpoints, work
from storage.guarded import guard
from storage.keys import PREFIXES
from storage.opening import open_storage
from storage.port import Storage, StorageError, StoredObject
from worker import batch_sweep
from worker.metrics import WorkerMetrics

log = structlog.get_logger(__name__)

_LIMIT = 100  # rows in one transaction
_ROUNDS = 10  # transactions of one step in one sweep
_ORPHAN_LIMIT = 1000  # files looked at in one sweep
_LONG_DEAD = timedelta(days=1)


class OrphanSearch:
    """Walks all stored files a stretch at a time, so that a large store delays no other step; then pauses."""

    def __init__(self, storage: Storage, *, pause_s: float) -> None:
        self._storage = storage
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._walk: Iterator[StoredObject] | None = None
        self._starts_at = time.monotonic()

    def stretch(self, limit: int) -> list[StoredObject]:
        """The next files; none while it pauses, or while another thread is at it. `StorageError`."""
        if not self._lock.acquire(blocking=False):
            return []
        try:
            if self._walk is None:
                if time.monotonic() < self._starts_at:
                    return []
                self._walk = chain.from_iterable(self._storage.list(prefix) for prefix in PREFIXES)
            walk, self._walk = self._walk, None  # a walk that breaks off is not gone on with
            self._starts_at = time.monotonic() + self._pause_s
            found = list(islice(walk, limit))
            if len(found) == limit:
                self._walk = walk
            return found
        finally:
            self._lock.release()


@dataclass(frozen=True)
class SweepResources:
    """What a sweeper process holds."""

    settings: Settings
    engine: Engine
    sessions: Sessions
    bell: Doorbell
    storage: Storage
    orphans: OrphanSearch
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)

    def close(self) -> None:
        """Give everything back."""
        self.bell.close()
        self.engine.dispose()


def build(settings: Settings, *, storage: Storage | None = None) -> SweepResources:
    """Set up a sweeper process. A test hands in a store of its own."""
    engine = build_engine(settings.require_database_url())
    store = guard(storage or open_storage(settings), settings)
    return SweepResources(
        settings=settings,
        engine=engine,
        sessions=build_sessions(engine),
        bell=Doorbell(settings, build_celery(settings)),
        storage=store,
        orphans=OrphanSearch(store, pause_s=settings.orphan_pause_s),
    )


def sweep(res: SweepResources) -> dict[str, int]:
    """One round of all steps; returns how much each one did. Never raises for a database or a store that is away."""
    done: dict[str, int] = {}
    for name, step in _STEPS.items():
        try:
            done[name] = step(res)
            res.metrics.swept(name, done[name])
        except (SQLAlchemyError, StorageError) as error:
            res.metrics.sweep_failed(name)
            log.warning("sweep_step_failed", step=name, error=f"{type(error).__name__}: {error}")
    if any(done.values()):
        log.info("swept", **done)
    return done


def _return_lost(res: SweepResources) -> int:
    """Jobs whose worker went silent are queued again."""

    def some() -> int:
        with res.sessions.begin() as session:
            return work.return_lost(
                session,
                max_crashes=res.settings.max_crashes,
                limit=_LIMIT,
            )

    return _in_rounds(some)


def _expire(res: SweepResources) -> int:
    """Jobs whose deadline has passed end."""

    def some() -> int:
        with res.sessions.begin() as session:
            return deadlines.expire_overdue(session, limit=_LIMIT)

    return _in_rounds(some)


def _ring(res: SweepResources) -> int:
    """Ring for rows that are due: the message for them may be lost, and its mark still stand."""
    with res.sessions.begin() as session:
        gpu, io = outgoing.waiting(session)
    wanted = [bell for bell, is_waiting in ((Bell.GPU, gpu), (Bell.IO, io)) if is_waiting]
    return sum(res.bell.ring(bell, again=True) for bell in wanted)


def _purge(res: SweepResources) -> int:
    """Files of jobs that ended longer ago than their retention."""

    def some() -> int:
        with res.sessions.begin() as session:
            due = purging.due_for_purge(session, limit=_LIMIT)
            keys = [key for job in due for key in purging.purge_files(session, job).keys]
        _remove(res.storage, keys)
        return len(due)

    return _in_rounds(some)


def _forget(res: SweepResources) -> int:
    """Rows of jobs that ended longer ago than `rows_retention`."""

    def some() -> int:
        with res.sessions.begin() as session:
            older_than = session.scalars(func.now()).one() - res.settings.rows_retention
            return purging.delete_rows(session, older_than=older_than, limit=_LIMIT)

    return _in_rounds(some)


def _forget_replies(res: SweepResources) -> int:
    """Replies to an `Idempotency-Key` that are older than `idempotency_retention`."""

    def some() -> int:
        with res.sessions.begin() as session:
            return idempotency.forget(session, older_than=res.settings.idempotency_retention, limit=_LIMIT)

    return _in_rounds(some)


def _leave_listeners(res: SweepResources) -> int:
    """Endpoints without a URL whose listener went away."""
    with res.sessions.begin() as session:
        return endpoints.disable_not_pulled(session, limit=_LIMIT)


def _forget_webhooks(res: SweepResources) -> int:
    """Old tests of endpoints, and endpoints that were deleted."""

    def some() -> int:
        with res.sessions.begin() as session:
            return webhooks.forget(session, older_than=res.settings.rows_retention, limit=_LIMIT)

    return _in_rounds(some)


def _forget_workers(res: SweepResources) -> int:
    """Heartbeats of workers that died long ago."""
    with res.sessions.begin() as session:
        return workers.forget_silent(session, since=_LONG_DEAD)


def _remove_orphans(res: SweepResources) -> int:
    """Files that no row names: of late workers, of submits that were never committed, of purges cut short."""
    oldest_kept = datetime.now(UTC) - res.settings.orphan_age
    old = [file.key for file in res.orphans.stretch(_ORPHAN_LIMIT) if file.modified_at < oldest_kept]
    if not old:
        return 0
    with res.sessions.begin() as session:
        orphans = set(old) - purging.named_keys(session, old)
    _remove(res.storage, orphans)
    return len(orphans)


def _in_rounds(some: Callable[[], int]) -> int:
    """Repeat a bounded step while it finds as much as it may take."""
    total = 0
    for _ in range(_ROUNDS):
        done = some()
        total += done
        if done < _LIMIT:
            break
    return total


def _remove(storage: Storage, keys: Iterable[str]) -> None:
    for key in keys:
        storage.delete(key)


# In this order: what was lost is rung for in the same sweep.
_STEPS: dict[str, Callable[[SweepResources], int]] = {
    "returned": _return_lost,
    "expired": _expire,
    "rung": _ring,
    "purged": _purge,
    "forgotten": _forget,
    "forgotten_replies": _forget_replies,
    "left_endpoints": _leave_listeners,
    "forgotten_webhooks": _forget_webhooks,
    "silent_workers": _forget_workers,
    "batches_through": lambda res: batch_sweep.take_stock(res.sessions),
    "batches_completed": lambda res: batch_sweep.complete(res.sessions, res.bell),
    "batches_expired": lambda res: batch_sweep.expire(res.sessions, res.bell),
    "batches_purged": lambda res: batch_sweep.purge(res.sessions, res.storage, retention=res.settings.files_retention),
    "batches_forgotten": lambda res: batch_sweep.forget(res.sessions, retention=res.settings.rows_retention),
    "uploads": lambda res: _in_rounds(lambda: batch_sweep.remove_uploads(res.sessions, res.storage)),
    "orphans": _remove_orphans,
}
