"""Prometheus metrics of one application: its requests, and the queue as the database knows it at the scrape."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text

from db import jobs as rows
from db import queue_figures, workers
from db.session import DATABASE_AWAY, Sessions
from jobs.lanes import Lane
from storage.breaker import BreakerState
from storage.guarded import GuardedStorage

_METHODS = frozenset({"GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"})
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
WORKER_KINDS = ("gpu", "io", "sweeper")


class Metrics:
    """A registry of its own, so that two applications in one process do not meet."""

    def __init__(self, sessions: Sessions, *, workers_within_s: float, waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        Gauge("packshot_waiting_requests", "Requests that wait for a change.", registry=self._registry).set_function(
            waiting
        )
        labels = ("method", "route", "status")
        self._requests = Counter("packshot_http_requests_total", "Requests answered.", labels, registry=self._registry)
        self._latency = Histogram(
            "packshot_http_request_duration_seconds",
            "Time from a request's first byte to its reply's last.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._uploaded = Counter("packshot_uploaded_bytes_total", "Bytes of photos taken.", registry=self._registry)
        self._uncounted = Counter(
            "packshot_rate_limit_failures_total",
            "Requests admitted uncounted, as Redis was away.",
            registry=self._registry,
        )
        self._storage_errors = Counter(
            "packshot_storage_errors_total",
            "Requests refused because the file store was away or full.",
            registry=self._registry,
        )
        self._registry.register(_Queue(sessions, workers_within_s))

    def follow(self, storage: GuardedStorage) -> None:
        """Show whether the store is asked."""
        text = "1 while the file store, which did not answer, is left alone."
        left = Gauge("packshot_storage_left_alone", text, registry=self._registry)
        left.set_function(lambda: storage.state is not BreakerState.CLOSED)

    def observe(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count one request; `route` is a template, never a path."""
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._latency.labels(method, route).observe(took_s)

    def count_upload(self, size_bytes: int) -> None:
        """Count a stored photo."""
        self._uploaded.inc(size_bytes)

    def count_rate_limit_failure(self) -> None:
        """Count a request that was admitted uncounted."""
        self._uncounted.inc()

    def count_storage_error(self) -> None:
        """Count a request that the file store let down."""
        self._storage_errors.inc()

    def render(self) -> bytes:
        """The text format; reads the database."""
        return generate_latest(self._registry)


class _Queue(Collector):
    """Depth and age of the queue and live workers, read at each scrape within two seconds or left out."""

    def __init__(self, sessions: Sessions, workers_within_s: float) -> None:
        self._sessions = sessions
        self._workers_within_s = workers_within_s

    def describe(self) -> Iterator[Metric]:
        """Names without values: registering must not touch the database."""
        yield from _families()

    def collect(self) -> Iterator[Metric]:
        """One transaction; a database that is away shows as `packshot_database_up 0`."""
        families = _families()
        up, depth, oldest, live, due, due_age, errands, errand_age = families
        try:
            with self._sessions.begin() as session:
                session.execute(text("SET LOCAL statement_timeout = 2000"))
                lanes = queue_figures.due_jobs(session)
                waiting = queue_figures.due_errands(session)
                depths = {status: (count, age) for status, count, age in rows.queue_depths(session)}
                kinds = [worker.kind for worker in workers.live(session, within_s=self._workers_within_s)]
        except DATABASE_AWAY:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        for status in ("queued", "processing"):
            count, age_s = depths.get(status, (0, 0.0))
            depth.add_metric([status], count)
            oldest.add_metric([status], age_s)
        for kind in WORKER_KINDS:
            live.add_metric([kind], kinds.count(kind))
        for lane in Lane:
            jobs = lanes.get(lane, queue_figures.Waiting())
            due.add_metric([lane.word], jobs.count)
            due_age.add_metric([lane.word], jobs.oldest_s)
        for kind, rest in waiting.items():
            errands.add_metric([kind], rest.count)
            errand_age.add_metric([kind], rest.oldest_s)
        yield from families


def _families() -> tuple[GaugeMetricFamily, ...]:
    return (
        GaugeMetricFamily("packshot_database_up", "Whether the database answered this scrape."),
        GaugeMetricFamily("packshot_jobs", "Jobs that are not final.", labels=["status"]),
        GaugeMetricFamily("packshot_oldest_job_age_seconds", "Age of the oldest such job.", labels=["status"]),
        GaugeMetricFamily("packshot_workers", "Workers heard of lately.", labels=["kind"]),
        GaugeMetricFamily("packshot_due_jobs", "Jobs and outputs that wait for a gpu worker.", labels=["lane"]),
        GaugeMetricFamily("packshot_due_job_age_seconds", "Since when the oldest of them waits.", labels=["lane"]),
        GaugeMetricFamily("packshot_due_errands", "What waits for an io worker.", labels=["kind"]),
        GaugeMetricFamily("packshot_due_errand_age_seconds", "Since when the oldest of it waits.", labels=["kind"]),
    )
