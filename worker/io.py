"""The io worker: downloads what is due, reads batches, puts and delivers what is due, until nothing is.

A lane each, so that slow downloads do not keep webhooks waiting; in each, one host or endpoint gets a share of the
slots, so that a dead one does not keep the others waiting. A slot is filled again the moment it is free.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy import Engine
from structlog.contextvars import bound_contextvars

from config.settings import Settings
from config.tracing import Silent, Tracing, build_tracing
from db.session import Sessions, build_engine, build_sessions
from dispatch.celery_app import build_celery
from dispatch.counters import Counters
from dispatch.doorbell import Doorbell
from dispatch.names import Bell
from jobs import batch_work, batches, deliveries, fetching, puts
from jobs.egress import Policy
from jobs.fields import Rules
from jobs.models import installed_models
from jobs.registry import Catalog
from storage.guarded import open_guarded
from worker import batch, deliver, fetch, put
from worker.http import HttpClient
from worker.metrics import WorkerMetrics
from worker.store_gate import StoreGate

log = structlog.get_logger(__name__)

_POOL_SIZE = 8  # connections; transactions here last milliseconds
_LOOK_AGAIN_S = 0.25  # while work is in flight: its end, or a new row, is seen this soon
_BATCH_SLOTS = 2  # reading lines takes a core, not a connection
# Beyond a call's deadline: time to store what came and to commit it, before others take the row for lost.
_FETCH_GRACE_S = 60.0
_DELIVERY_GRACE_S = 30.0
_KINDS_OF_CALLS = 3  # each with `io_concurrency` slots


@dataclass(frozen=True)
class Errand:
    """A claimed row: the host or endpoint it calls, and the work to be done for it.

    `break_off` is called with an error that `run` did not expect. Without it the row's lease lapses: it is due again.
    `about` stands in every line that is logged of it.
    """

    host: str
    run: Callable[[], None]
    break_off: Callable[[BaseException], None] | None = None
    about: Mapping[str, object] = field(default_factory=dict)


# (most rows, hosts to leave alone) -> rows taken
Claim = Callable[[int, Collection[str]], Sequence[Errand]]


class Lane:
    """Slots for one kind of work, shared by all drains of this process."""

    def __init__(self, name: str, pool: ThreadPoolExecutor, claim: Claim, *, slots: int) -> None:
        self.name = name
        self._pool = pool
        self._claim = claim
        self._slots = slots
        self._host_slots = max(1, slots // 4)
        self._lock = threading.RLock()  # a future that is done at once reports in the thread that holds it
        self._running: dict[Future[None], str] = {}

    def running(self) -> list[Future[None]]:
        """What is in flight."""
        with self._lock:
            return list(self._running)

    def fill(self) -> bool:
        """Claim and start what is due, as far as slots are free; whether there was any."""
        started = False
        with self._lock:
            while limit := min(self._slots - len(self._running), self._host_slots):
                in_flight = Counter(self._running.values())
                busy = [host for host, count in in_flight.items() if count >= self._host_slots]
                errands = self._claim(limit, busy)
                for errand in errands:
                    self._start(errand)
                if not errands:
                    break
                started = True
        return started

    def _start(self, errand: Errand) -> None:
        future = self._pool.submit(_run, errand)
        self._running[future] = errand.host
        future.add_done_callback(partial(self._finish, errand))

    def _finish(self, errand: Errand, future: Future[None]) -> None:
        try:
            if (error := future.exception()) is not None:
                with bound_contextvars(**errand.about):
                    log.error("errand_broke_off", lane=self.name, exc_info=error)
                    if errand.break_off is not None:
                        errand.break_off(error)
        finally:  # it is in flight until then, so that a drain waits for it
            with self._lock:
                del self._running[future]


def _run(errand: Errand) -> None:
    with bound_contextvars(**errand.about):
        errand.run()


@dataclass(frozen=True)
class IoResources:
    """What an io worker process holds. Setting `stop` ends drains once the work in flight is done."""

    settings: Settings
    engine: Engine
    sessions: Sessions
    bell: Doorbell
    counters: Counters
    client: HttpClient
    pool: ThreadPoolExecutor
    lanes: tuple[Lane, ...]
    stop: threading.Event = field(default_factory=threading.Event)
    tracing: Tracing = field(default_factory=Silent)
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)

    def close(self) -> None:
        """Let the work in flight end, then give everything back."""
        self.stop.set()
        self.pool.shutdown()
        self.client.close()
        self.bell.close()
        self.counters.close()
        self.engine.dispose()
        self.tracing.close()


def build(settings: Settings, *, client: HttpClient | None = None, tracing: Tracing | None = None) -> IoResources:
    """Set up an io worker process. A test hands in a client or tracing of its own."""
    engine = build_engine(settings.require_database_url(), pool_size=_POOL_SIZE)
    sessions = build_sessions(engine)
    bell = Doorbell(settings, build_celery(settings))
    counters = Counters(settings)
    policy = Policy.from_settings(settings)
    calls = client or HttpClient(policy, lookups=_KINDS_OF_CALLS * settings.io_concurrency)
    pool = ThreadPoolExecutor(_KINDS_OF_CALLS * settings.io_concurrency + _BATCH_SLOTS, thread_name_prefix="io")
    stop = threading.Event()
    metrics = WorkerMetrics()
    traces = tracing or build_tracing(settings, "io")
    storage = open_guarded(settings)
    gate = StoreGate(storage, settings)
    metrics.follow_store(gate)
    downloads = fetch.Fetching(settings, sessions, storage, gate, calls, bell, counters, traces, metrics)
    calling = deliver.Delivering(
        sessions, calls, settings.webhook_timeout_s, settings.webhook_disable_after, traces, metrics
    )
    putting = put.Putting(settings, sessions, storage, calls, bell, traces, metrics)
    catalog = Catalog(sessions, installed_models())

    def read_rules() -> Rules:
        return Rules(catalog.models().names, settings.model, policy, settings.max_megapixels)

    batching = batch.Batching(settings, sessions, storage, bell, counters, read_rules, stop.is_set, traces)
    lanes = (
        Lane("fetch", pool, partial(_claim_fetches, downloads), slots=settings.io_concurrency),
        Lane("batch", pool, partial(_claim_batches, batching), slots=_BATCH_SLOTS),
        Lane("put", pool, partial(_claim_puts, putting, gate), slots=settings.io_concurrency),
        Lane("deliver", pool, partial(_claim_deliveries, calling), slots=settings.io_concurrency),
    )
    return IoResources(settings, engine, sessions, bell, counters, calls, pool, lanes, stop, traces, metrics)


def drain(res: IoResources, *, moved: Callable[[], None] = lambda: None) -> None:
    """Work until nothing is due and nothing in flight, or until `res.stop`. Several at a time share the slots.

    `moved` is called whenever something was started or ended.
    """
    res.bell.answer(Bell.IO)
    while not res.stop.is_set():
        # Looked at before filling: what ends in between frees slots and hosts, so it calls for another look.
        running = _running(res)
        filled = [lane.fill() for lane in res.lanes]  # each lane gets its turn
        if any(filled):
            moved()
            continue
        if not running:
            return
        ended, _ = wait(running, timeout=_LOOK_AGAIN_S, return_when=FIRST_COMPLETED)
        if ended:
            moved()
    wait(_running(res))


def _running(res: IoResources) -> list[Future[None]]:
    return [future for lane in res.lanes for future in lane.running()]


def _claim_fetches(needs: fetch.Fetching, limit: int, busy: Collection[str]) -> list[Errand]:
    lease_s = needs.settings.fetch_timeout_s + 2 * needs.settings.storage_timeout_s + _FETCH_GRACE_S
    if not (limit := needs.gate.writers(limit)):
        return []
    with needs.sessions.begin() as session:
        claimed = fetching.claim(session, limit=limit, lease_s=lease_s, busy_hosts=busy)
    return [Errand(one.host, partial(fetch.run, needs, one), about=one.about) for one in claimed]


def _claim_puts(needs: put.Putting, gate: StoreGate, limit: int, busy: Collection[str]) -> list[Errand]:
    # The store may be asked right before the PUT's time and right at its end, and each time once more.
    lease_s = needs.settings.put_timeout_s + 4 * needs.settings.storage_timeout_s + _DELIVERY_GRACE_S
    if not (limit := gate.readers(limit)):
        return []
    with needs.sessions.begin() as session:
        claimed = puts.claim(session, limit=limit, lease_s=lease_s, busy_hosts=busy)
    return [Errand(one.host, partial(put.run, needs, one), about=one.about) for one in claimed]


def _claim_deliveries(needs: deliver.Delivering, limit: int, busy: Collection[str]) -> list[Errand]:
    with needs.sessions.begin() as session:
        lease_s = needs.timeout_s + _DELIVERY_GRACE_S
        claimed = deliveries.claim(session, limit=limit, lease_s=lease_s, busy_lanes=busy)
    return [Errand(one.lane, partial(deliver.run, needs, one), about=one.about) for one in claimed]


def _claim_batches(needs: batch.Batching, limit: int, busy: Collection[str]) -> list[Errand]:
    """A key's batches take turns: what counts as a host here is the key."""
    busy_keys = [UUID(key) for key in busy]
    with needs.sessions.begin() as session:
        claimed = batch_work.claim(session, limit=limit, lease_s=needs.terms.lease_s, busy_keys=busy_keys)
    return [
        Errand(
            str(one.api_key_id),
            partial(batch.run, needs, one),
            partial(batch.break_off, needs, one),
            about=batches.about(one),
        )
        for one in claimed
    ]
