"""From a claimed job to a photo that is ready for the network."""

from dataclasses import dataclass

import numpy as np

from config.tracing import Tracing
from jobs.errors import JobError
from jobs.values import ClaimedJob
from storage.port import ObjectNotFoundError, Storage
from vision.arrays import Alpha
from vision.codec.encode import decode_matte
from vision.cutout import ExistingAlpha, Subject, prepare_subject
from vision.segmenters.looks import Prepared
from worker.decoders import DecoderPool
from worker.models import Models, StagedSegmenter
from worker.stages import Stages


@dataclass(frozen=True)
class Photo:
    """A decoded photo. `prepared` is None when the network need not be asked."""

    job: ClaimedJob
    subject: Subject
    segmenter: StagedSegmenter
    prepared: Prepared | None
    stored_alpha: Alpha | None
    """The matte that an earlier job of this photo left."""
    stages: Stages


@dataclass(frozen=True)
class Intake:
    """What it takes to make photos of jobs; used by several threads."""

    storage: Storage
    decoders: DecoderPool
    models: Models

    def take(self, job: ClaimedJob, *, tracing: Tracing | None = None, traceparent: str | None = None) -> Photo:
        """Read, decode in a child process, letterbox; `traceparent` is what its stages are traced under.

        `JobError` (`matte_lost` for a further output, which never asks the network), `ImageError`,
        `StorageUnavailableError`, `ObjectNotFoundError`.
        """
        stages = Stages({"queue_ms": job.queue_ms}, tracing=tracing, traceparent=traceparent)
        # A further output asks no network: whatever model its matte is of.
        segmenter = self.models.default if job.output_id else self.models.get(job.model_version or job.params.model)
        with stages.time("decode_ms"):
            with self.storage.open(job.input_key) as file:
                data = file.read()
            with self.decoders.submit(data, job.params.animated).result() as decoded:
                # The arrays keep the shared memory for as long as the subject lives.
                alpha = None if decoded.alpha is None else decoded.alpha.astype(np.float32) / np.float32(255)
                subject = prepare_subject(decoded.image, alpha, ExistingAlpha(job.params.existing_alpha))
            stored = self._stored_alpha(job, subject)
        prepared = None
        if subject.needs_network and stored is None:
            if job.output_id is not None:
                raise JobError("matte_lost", "The matte that this output is to be made of is not in the file store.")
            with stages.time("letterbox_ms"):
                prepared = segmenter.prepare(subject.seen)
        return Photo(job, subject, segmenter, prepared, stored, stages)

    def _stored_alpha(self, job: ClaimedJob, subject: Subject) -> Alpha | None:
        """The stored matte, or None where there is none, or it is lost or damaged: then it is made again.

        `StorageUnavailableError`.
        """
        if job.matte is None or not subject.needs_network:
            return None
        try:
            with self.storage.open(job.matte.key) as file:
                alpha = decode_matte(file.read())
        except (ObjectNotFoundError, ValueError):
            return None
        return alpha if alpha.shape == subject.image.shape[:2] else None
