"""Worker processes: a Celery worker of one kind around its resources. The gpu kind runs in `worker.gpu_child`."""

import os
import signal
import threading
import warnings
from collections.abc import Callable
from contextlib import closing
from functools import partial
from types import FrameType

import structlog
from celery import Celery, signals
from celery.apps import worker as celery_worker
from celery.beat import EmbeddedService, Scheduler
from celery.platforms import SecurityWarning

from config.settings import Settings
from db import outgoing
from dispatch.celery_app import build_celery
from dispatch.names import SWEEP_QUEUE, SWEEP_TASK, TASKS, Bell
from worker import io, sweep, tasks
from worker.heartbeat import Heartbeat, Identity, worker_name
from worker.pulse import Pulse
from worker.supervisor import Supervisor, visible_devices

log = structlog.get_logger(__name__)

_SILENT_BEATS = 5


def run(kind: str, settings: Settings) -> int:
    """Run a worker of `kind` (gpu, io, sweeper) in a main thread until it is told to stop; its exit status."""
    if kind == "gpu":
        devices = visible_devices(os.environ)
        log.info("gpu_devices", devices=devices or ["cpu"])
        return Supervisor(devices, os.environ).run()
    leave_when_told()
    return {"io": run_io, "sweeper": run_sweeper}[kind](settings)


def leave_when_told() -> None:
    """Until Celery listens for SIGTERM there is nothing to finish: leave at once, but in order."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)


def run_io(settings: Settings) -> int:
    """Downloads and webhooks."""
    app = build_celery(settings)
    res = io.build(settings)
    pulse = Pulse()
    tasks.register(app, TASKS[Bell.IO], _beating(pulse, partial(io.drain, res, moved=pulse.moved)))
    identity = Identity(worker_name("io"), "io")
    left_lying = partial(outgoing.has_waited, seconds=settings.stall_s)
    heartbeat = Heartbeat(settings, res.sessions, identity, pulse, is_left_lying=left_lying)

    def stop() -> None:
        res.stop.set()
        heartbeat.leave()

    res.metrics.follow(pulse)
    with closing(res), res.metrics.shown(settings), heartbeat:
        return serve(app, queue=Bell.IO.value, name=identity.name, on_stop=stop)


def run_sweeper(settings: Settings) -> int:
    """Sweeps at Celery's beat, in one process: its messages may be lost or doubled like any other."""
    app = build_celery(settings)
    app.conf.beat_schedule = {
        "sweep": {
            "task": SWEEP_TASK,
            "schedule": settings.sweep_s,
            "options": {"queue": SWEEP_QUEUE, "expires": 2 * settings.sweep_s, "ignore_result": True},
        }
    }
    res = sweep.build(settings)
    pulse = Pulse()
    tasks.register(app, SWEEP_TASK, _beating(pulse, partial(sweep.sweep, res)))
    identity = Identity(worker_name("sweeper"), "sweeper")
    # It sweeps every few seconds: one that has not for `stall_s` is deaf, whatever there is to sweep.
    heartbeat = Heartbeat(settings, res.sessions, identity, pulse, is_left_lying=lambda _: True)
    beat = EmbeddedService(app, thread=True, scheduler_cls=Scheduler)
    stop = threading.Event()
    alone = threading.Thread(target=_sweep_alone, args=(settings, pulse, stop, partial(sweep.sweep, res)))
    res.metrics.follow(pulse)
    with closing(res), res.metrics.shown(settings), heartbeat:
        beat.start()
        alone.start()
        status = serve(app, queue=SWEEP_QUEUE, name=identity.name, on_stop=heartbeat.leave)
        stop.set()
        alone.join()
        beat.stop()
        return status


def _sweep_alone(settings: Settings, pulse: Pulse, stop: threading.Event, wake: Callable[[], object]) -> None:
    """While the broker is away no message comes, and leases lapse all the same: sweep without one."""
    while not stop.wait(settings.sweep_s):
        if pulse.still_s() > _SILENT_BEATS * settings.sweep_s and not pulse.is_working():
            with pulse.working():
                wake()


def _beating(pulse: Pulse, wake: Callable[[], object]) -> Callable[[], None]:
    def woken() -> None:
        with pulse.working():
            wake()

    return woken


def serve(app: Celery, *, queue: str, name: str, on_stop: Callable[[], None]) -> int:
    """A Celery worker on one queue, one thread for its one task, in a main thread; its exit status.

    `on_stop` runs in the signal handler at every SIGTERM: it may set marks, and no more.
    """

    def stopping(**_: object) -> None:
        on_stop()

    def leave_logging_alone(**_: object) -> None:
        """Celery sets up logging unless somebody listens here."""

    # Running as root is the operator's choice, and safe here: messages are JSON and say nothing.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    signals.setup_logging.connect(leave_logging_alone, weak=False)
    # It tells of its shutdown on standard output, past every log: a line that is no JSON.
    celery_worker.safe_say = lambda *_: None
    signals.worker_shutting_down.connect(stopping, weak=False)
    worker = app.Worker(
        hostname=name,
        queues=[queue],
        pool="threads",
        concurrency=1,
        quiet=True,
        without_mingle=True,
        without_gossip=True,
    )
    worker.start()
    log.info("worker_stopped", status=int(worker.exitcode or 0))
    return int(worker.exitcode or 0)
