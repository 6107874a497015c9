"""A gpu worker around a fake segmenter, on real servers, with a real decoder process; and photos to feed it."""

import hashlib
from collections.abc import Sequence
from io import BytesIO
from typing import cast
from uuid import UUID

import numpy as np
from celery import Celery
from PIL import Image
from sqlalchemy import func, select, update

from config.settings import Settings
from config.tracing import Tracing
from db.base import JobStatus
from db.models import Job, Matte, Output
from db.webhook_models import WebhookEvent
from dispatch.celery_app import build_celery
from dispatch.doorbell import Doorbell
from jobs.ids import new_id
from jobs.params import JobParams
from jobs.put_params import PutTarget
from jobs.service import submit
from jobs.values import NewJob, StoredInput
from storage.keys import input_key
from storage.port import Storage
from tests.factories import make_key
from tests.fakes import FakeSegmenter, FlakyStorage, fake_models, keys_of
from worker import gpu
from worker.models import Models
from worker.pipeline import drain

PHOTO_HW = (96, 128)


def photo(*, product: tuple[int, int, int] = (20, 40, 60), background: tuple[int, int, int] = (240, 240, 240)) -> bytes:
    """A PNG with a rectangle in the middle: dark, so that the fake segmenter finds it."""
    image = np.full((*PHOTO_HW, 3), background, np.uint8)
    image[24:72, 32:96] = product
    return png(image)


def png(image: np.ndarray) -> bytes:
    out = BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


class GpuWorld:
    """One worker in this process and what it sees."""

    def __init__(
        self,
        settings: Settings,
        models: Models | None = None,
        *,
        storage: Storage | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.segmenter = FakeSegmenter()
        # A test may fill the folder up; of a bucket it does not ask that.
        self.storage = cast("FlakyStorage", storage) if storage else FlakyStorage(settings.files_path)
        self.celery: Celery = build_celery(settings)
        self.doorbell = Doorbell(settings, self.celery)
        made = models or fake_models(self.segmenter)
        self.res = gpu.assemble(settings, made, self.doorbell, storage=self.storage, tracing=tracing)
        with self.res.sessions.begin() as session:
            self.key = make_key(session).id

    def close(self) -> None:
        self.res.close()

    def add(
        self,
        data: bytes | None = None,
        *,
        params: JobParams | None = None,
        webhook_url: str | None = None,
        key: UUID | None = None,
        megapixels: float = 1.0,
        puts: tuple[PutTarget, ...] = (),
    ) -> UUID:
        """Store a photo and commit its job."""
        body = photo() if data is None else data
        job_id = new_id()
        stored_key = input_key(job_id)
        self.storage.put(stored_key, body)
        sha256 = hashlib.sha256(body).hexdigest()
        source = StoredInput(stored_key, sha256, len(body), "png", 1000, round(megapixels * 1000))
        asked = params or JobParams(model="fake")
        new = NewJob(job_id, key or self.key, source, asked, webhook_url=webhook_url, puts=puts)
        with self.res.sessions.begin() as session:
            submit(session, new)
        return job_id

    def drain(self) -> None:
        drain(self.res)

    def job(self, job_id: UUID) -> Job:
        with self.res.sessions() as session:
            return session.get_one(Job, job_id)

    def statuses(self, job_ids: Sequence[UUID]) -> list[JobStatus]:
        return [self.job(job_id).status for job_id in job_ids]

    def outputs(self, job_id: UUID) -> list[Output]:
        with self.res.sessions() as session:
            return list(session.scalars(select(Output).where(Output.job_id == job_id)))

    def mattes(self) -> list[Matte]:
        with self.res.sessions() as session:
            return list(session.scalars(select(Matte)))

    def events(self) -> list[str]:
        with self.res.sessions() as session:
            return sorted(session.scalars(select(WebhookEvent.type)))

    def files(self) -> list[str]:
        """Keys of everything that is not an original."""
        return [key for key in keys_of(self.storage) if not key.endswith("/input")]

    def read(self, key: str) -> bytes:
        with self.storage.open(key) as file:
            return file.read()

    def make_due(self) -> None:
        with self.res.sessions.begin() as session:
            session.execute(update(Job).where(Job.status == JobStatus.QUEUED).values(due_at=func.now()))

    def assert_each_done_once(self, job_ids: Sequence[UUID]) -> None:
        """Every job succeeded, one output each that is there, one event each, and no other file."""
        assert set(self.statuses(job_ids)) == {JobStatus.SUCCEEDED}
        named = [output.key for job_id in job_ids for output in self.outputs(job_id)]
        assert len(named) == len(job_ids)
        assert sorted([*named, *(matte.key for matte in self.mattes())]) == self.files()
        assert self.events() == ["job.succeeded"] * len(job_ids)
