"""What a gpu worker process holds: built, loaded and warmed up before it is ready."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import cv2
import structlog
from sqlalchemy import Engine

from config.settings import Settings
from config.tracing import Tracing, build_tracing
from db import claims
from db.session import Sessions, build_engine, build_sessions
from dispatch.doorbell import Doorbell
from jobs.claiming import Terms
from storage.guarded import guard
from storage.opening import open_storage
from storage.port import Storage
from vision.codec.header import Limits
from vision.output import warm_up
from worker.decoders import DecoderPool
from worker.finish import Finisher
from worker.heartbeat import Heartbeat, worker_name
from worker.intake import Intake
from worker.memory import memory_bound
from worker.metrics import WorkerMetrics
from worker.models import Models
from worker.pulse import Pulse
from worker.registry import PackagedModels, RegisteredModels
from worker.store_gate import StoreGate

log = structlog.get_logger(__name__)

KIND = "gpu"


@dataclass(frozen=True)
class Resources:
    """Setting `stop` ends the drain: what is begun is finished, the rest given back."""

    settings: Settings
    engine: Engine
    sessions: Sessions
    doorbell: Doorbell
    decoders: DecoderPool
    intake: Intake
    finisher: Finisher
    gate: StoreGate
    terms: Terms
    pulse: Pulse
    heartbeat: Heartbeat
    intake_pool: ThreadPoolExecutor
    finish_pool: ThreadPoolExecutor
    stop: threading.Event
    tracing: Tracing
    metrics: WorkerMetrics

    def close(self) -> None:
        """Give everything back, once no drain runs."""
        self.intake_pool.shutdown()
        self.finish_pool.shutdown()
        self.decoders.close()
        self.doorbell.close()
        self.engine.dispose()
        self.tracing.close()


def load_models(settings: Settings, source: PackagedModels | None = None) -> Models:
    """Load the default model and run it once for each size of microbatch that a compiler may see.

    The loops over pixels are compiled here too. `source` tells what there is; the package alone by default.

    `ValueError` for a model that is not installed, `WeightsError` for weights that do not fit their sidecar.
    """
    source = source or PackagedModels(settings)
    ids = source.ids()
    if settings.model not in ids:
        raise ValueError(f"PACKSHOT_MODEL is {settings.model!r}; installed: {', '.join(sorted(ids)) or 'none'}")
    warm_up()
    default = source.load(ids[settings.model])
    return Models(ids, default, source.load, default_word=settings.model, read_ids=source.ids)


def load_registered(settings: Settings) -> Models:
    """As `load_models`, with what the registry holds; asks the database again whenever the worker looks for changes."""
    engine = build_engine(settings.require_database_url(), pool_size=1)
    storage = open_storage(settings)
    return load_models(settings, RegisteredModels(settings, build_sessions(engine), storage))


@dataclass(frozen=True)
class GpuIdentity:
    """Who beats: a gpu worker tells what it runs by now, and what it can't."""

    name: str
    models: Models
    kind: str = KIND

    @property
    def model_version(self) -> str:
        """Id of the default model."""
        return self.models.default.version

    @property
    def runtime(self) -> str:
        """What computes it."""
        return self.models.default.runtime

    @property
    def problem(self) -> str | None:
        """A promoted version that does not load."""
        return self.models.problem


def assemble(
    settings: Settings,
    models: Models,
    doorbell: Doorbell,
    *,
    storage: Storage | None = None,
    tracing: Tracing | None = None,
) -> Resources:
    """Put a worker together around its models. Decoder processes start here; the heartbeat is not started.

    Store and tracing are as the settings say unless given.
    """
    cores = os.cpu_count() or 1
    finish_threads = settings.encode_threads or min(4, cores)
    decode_processes = settings.decode_processes or min(2, cores)
    # Photos are refined and encoded side by side: OpenCV's own threads would only get in each other's way.
    cv2.setNumThreads(1)
    store = guard(storage or open_storage(settings), settings)
    gate = StoreGate(store, settings)
    engine = build_engine(settings.require_database_url(), pool_size=finish_threads + 3)
    sessions = build_sessions(engine)
    pulse = Pulse()
    metrics = WorkerMetrics()
    metrics.follow(pulse)
    metrics.follow_store(gate)
    decoders = DecoderPool(
        Limits(max_megapixels=settings.max_megapixels, max_bytes=settings.max_upload_bytes),
        children=decode_processes,
        timeout_s=settings.decode_timeout_s,
        memory_bytes=settings.decode_memory_bytes,
    )
    identity = GpuIdentity(worker_name(KIND), models)
    memory = memory_bound(settings)
    memory.require_room()
    return Resources(
        settings=settings,
        engine=engine,
        sessions=sessions,
        doorbell=doorbell,
        decoders=decoders,
        intake=Intake(store, decoders, models),
        finisher=Finisher(settings, sessions, store, gate, doorbell, pulse, metrics),
        gate=gate,
        terms=Terms(identity.name, settings.lease_s, models.resolve),
        pulse=pulse,
        heartbeat=Heartbeat(
            settings,
            sessions,
            identity,
            pulse,
            is_left_lying=partial(claims.has_waited, seconds=settings.stall_s),
            memory=memory,
        ),
        # One more than there are decoders: while they work, the next photo is read.
        intake_pool=ThreadPoolExecutor(decode_processes + 1, thread_name_prefix="intake"),
        finish_pool=ThreadPoolExecutor(finish_threads, thread_name_prefix="finish"),
        stop=threading.Event(),
        tracing=tracing or build_tracing(settings, KIND),
        metrics=metrics,
    )
