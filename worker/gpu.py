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
from db import claims
from db.session import Sessions, build_engine, build_sessions
from dispatch.doorbell import Doorbell
from jobs.models import installed_models
from jobs.work import Terms
from storage.local import LocalStorage
from storage.port import Storage
from vision.codec.header import Limits
from vision.output import warm_up
from vision.segmenters.runtimes import RuntimeOptions
from vision.segmenters.unet import UnetSegmenter
from worker.decoders import DecoderPool
from worker.finish import Finisher
from worker.heartbeat import Heartbeat, Identity, worker_name
from worker.intake import Intake
from worker.models import Models
from worker.pulse import Pulse

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
    terms: Terms
    pulse: Pulse
    heartbeat: Heartbeat
    intake_pool: ThreadPoolExecutor
    finish_pool: ThreadPoolExecutor
    stop: threading.Event

    def close(self) -> None:
        """Give everything back, once no drain runs."""
        self.intake_pool.shutdown()
        self.finish_pool.shutdown()
        self.decoders.close()
        self.doorbell.close()
        self.engine.dispose()


def load_models(settings: Settings) -> Models:
    """Load the default model and run it once for each size of microbatch that a compiler may see.

    The loops over pixels are compiled here too.

    `ValueError` for a model that is not installed, `WeightsError` for weights that do not fit their sidecar.
    """
    installed = installed_models()
    specs = {spec.model_id: spec for spec in installed.specs}
    # Sorted by version: the newest of a name comes last and stands.
    ids = {spec.name: spec.model_id for spec in installed.specs} | {model_id: model_id for model_id in specs}
    if settings.model not in ids:
        raise ValueError(f"PACKSHOT_MODEL is {settings.model!r}; installed: {', '.join(sorted(ids)) or 'none'}")
    warm_up()
    options = RuntimeOptions(threads=settings.threads, cache_dir=settings.data_dir / "models")

    def load(model_id: str) -> UnetSegmenter:
        segmenter = UnetSegmenter.load(specs[model_id], runtime=settings.runtime, options=options)
        segmenter.warm_up(sorted({1, settings.microbatch_images}))
        log.info("model_loaded", model=segmenter.version, runtime=segmenter.runtime)
        return segmenter

    return Models(ids, load(ids[settings.model]), load)


def assemble(settings: Settings, models: Models, doorbell: Doorbell, *, storage: Storage | None = None) -> Resources:
    """Put a worker together around its models. Decoder processes start here; the heartbeat is not started."""
    cores = os.cpu_count() or 1
    finish_threads = settings.encode_threads or min(4, cores)
    decode_processes = settings.decode_processes or min(2, cores)
    # Photos are refined and encoded side by side: OpenCV's own threads would only get in each other's way.
    cv2.setNumThreads(1)
    store = storage or LocalStorage(settings.files_path)
    engine = build_engine(settings.require_database_url(), pool_size=finish_threads + 3)
    sessions = build_sessions(engine)
    pulse = Pulse()
    decoders = DecoderPool(
        Limits(max_megapixels=settings.max_megapixels, max_bytes=settings.max_upload_bytes),
        children=decode_processes,
        timeout_s=settings.decode_timeout_s,
        memory_bytes=settings.decode_memory_bytes,
    )
    identity = Identity(worker_name(KIND), KIND, models.default.version, models.default.runtime)
    return Resources(
        settings=settings,
        engine=engine,
        sessions=sessions,
        doorbell=doorbell,
        decoders=decoders,
        intake=Intake(store, decoders, models),
        finisher=Finisher(settings, sessions, store, doorbell, pulse),
        terms=Terms(identity.name, settings.lease_s, models.resolve),
        pulse=pulse,
        heartbeat=Heartbeat(
            settings,
            sessions,
            identity,
            pulse,
            is_left_lying=partial(claims.has_waited, seconds=settings.stall_s),
        ),
        # One more than there are decoders: while they work, the next photo is read.
        intake_pool=ThreadPoolExecutor(decode_processes + 1, thread_name_prefix="intake"),
        finish_pool=ThreadPoolExecutor(finish_threads, thread_name_prefix="finish"),
        stop=threading.Event(),
    )
