"""Prometheus metrics of one worker process, shown on a port of its own where `PACKSHOT_METRICS_PORT` says so.

What waits is asked of the database by the API (`api.metrics`); here is what this process did. No label names a job.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

from config.settings import Settings
from storage.breaker import BreakerState
from worker.pulse import Pulse
from worker.store_gate import StoreGate

_STAGE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_CALL_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 30)
_IMAGE_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class WorkerMetrics:
    """A registry of its own, so that two workers in one process do not meet. Used by all threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._jobs = self._counter("packshot_worker_jobs_total", "Tries of jobs that ended.", "outcome")
        self._errors = self._counter("packshot_worker_job_errors_total", "Tries of jobs that went wrong.", "code")
        self._stages = Histogram(
            "packshot_worker_stage_duration_seconds",
            "Time that a stage took for one photo; `queue` is the wait before it was claimed.",
            ("stage",),
            buckets=_STAGE_BUCKETS_S,
            registry=self.registry,
        )
        self._microbatches = Histogram(
            "packshot_worker_microbatch_images",
            "Photos of a microbatch; a model that looks twice makes two forwards of it.",
            buckets=_IMAGE_BUCKETS,
            registry=self.registry,
        )
        self._fetches = self._counter("packshot_worker_fetches_total", "Tries of downloads, `ok` or by code.", "code")
        self._fetched = Counter(
            "packshot_worker_fetched_bytes_total", "Bytes of photos downloaded.", registry=self.registry
        )
        self._puts = self._counter("packshot_worker_puts_total", "Tries of PUTs, `ok` or by code.", "code")
        self._webhooks = self._counter("packshot_worker_webhooks_total", "Webhook calls, by what followed.", "outcome")
        self._calls = Histogram(
            "packshot_worker_webhook_duration_seconds",
            "Time of one webhook call.",
            buckets=_CALL_BUCKETS_S,
            registry=self.registry,
        )
        self._swept = self._counter("packshot_worker_swept_total", "Rows and files that a sweep saw to.", "step")
        self._sweep_failures = self._counter("packshot_worker_sweep_failures_total", "Steps that failed.", "step")

    def _counter(self, name: str, text: str, label: str) -> Counter:
        return Counter(name, text, (label,), registry=self.registry)

    def succeeded(self, spent_ms: Mapping[str, float]) -> None:
        """A job succeeded; `spent_ms`: milliseconds by stage, such as `decode_ms`."""
        self._jobs.labels("succeeded").inc()
        for stage, spent in spent_ms.items():
            self._stages.labels(stage.removesuffix("_ms")).observe(spent / 1000)

    def went_wrong(self, code: str, *, retryable: bool) -> None:
        """A try of a job ended in an error: put off, or failed for good."""
        self._jobs.labels("retried" if retryable else "failed").inc()
        self._errors.labels(code).inc()

    def forwarded(self, images: int) -> None:
        """A microbatch went through the network."""
        self._microbatches.observe(images)

    def fetched(self, code: str, size_bytes: int = 0) -> None:
        """A try of a download ended, `ok` or with an error's code."""
        self._fetches.labels(code).inc()
        self._fetched.inc(size_bytes)

    def put(self, code: str) -> None:
        """A try of a PUT ended, `ok` or with an error's code."""
        self._puts.labels(code).inc()

    def called(self, outcome: str, took_s: float) -> None:
        """A webhook was called."""
        self._webhooks.labels(outcome).inc()
        self._calls.observe(took_s)

    def swept(self, step: str, count: int) -> None:
        """A step of a sweep was done."""
        self._swept.labels(step).inc(count)

    def sweep_failed(self, step: str) -> None:
        """A step of a sweep failed."""
        self._sweep_failures.labels(step).inc()

    def follow(self, pulse: Pulse) -> None:
        """Show what the worker holds and since when it stands still."""
        held = Gauge("packshot_worker_held_jobs", "Jobs in this worker's hands.", registry=self.registry)
        held.set_function(lambda: len(pulse.held()))
        still = Gauge("packshot_worker_still_seconds", "Time since it last made progress.", registry=self.registry)
        still.set_function(pulse.still_s)

    def follow_store(self, gate: StoreGate) -> None:
        """Show whether work is left for later because of the store."""
        text = "1 while work waits for the file store, which did not answer or could not take results."
        left = Gauge("packshot_worker_storage_left_alone", text, registry=self.registry)
        left.set_function(lambda: gate.state is not BreakerState.CLOSED)

    @contextmanager
    def shown(self, settings: Settings) -> Iterator[None]:
        """Answer scrapes meanwhile, if a port is set. `OSError` where it is taken: set-up failed."""
        if not settings.metrics_port:
            yield
            return
        server, thread = start_http_server(settings.metrics_port, settings.host, self.registry)
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
