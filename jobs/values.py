"""Values that cross between the rules and the entry points; no open session hangs on them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from config.tracing import trace_id_of
from db.base import Verdict
from db.models import Job, Output
from jobs.ids import BATCH_PREFIX, job_public_id
from jobs.lanes import Lane
from jobs.params import JobParams
from jobs.put_params import PutTarget


def about_job(job_id: UUID, attempt: int, *, batch_id: UUID | None, traceparent: str | None) -> dict[str, object]:
    """What a log tells a job in hand by."""
    subject: dict[str, object] = {"job_id": job_public_id(job_id), "attempt": attempt}
    if batch_id is not None:
        subject["batch_id"] = BATCH_PREFIX + batch_id.hex
    if traceparent is not None:
        subject["trace_id"] = trace_id_of(traceparent)
    return subject


@dataclass(frozen=True)
class StoredInput:
    """A photo that is stored, with what its header and its bytes told. Sizes in pixels, before EXIF rotation."""

    key: str
    sha256: str
    bytes: int
    format: str
    width: int
    height: int


@dataclass(frozen=True)
class Item:
    """A job's place in a batch."""

    batch_id: UUID
    line: int
    custom_id: str


@dataclass(frozen=True)
class NewJob:
    """What a caller asks for; `source` is a stored photo or a URL; `base_url` the API's, without a slash at its end.

    `retention`: how long its files stay after its end; `deadline`: it expires unless it has ended by then.
    `upload_id` names the upload whose photo it is; of a quiet job nobody is told when it ends. It succeeds when its
    `puts` are done.
    """

    id: UUID
    api_key_id: UUID
    source: StoredInput | str
    params: JobParams
    filename: str | None = None
    webhook_url: str | None = None
    base_url: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    retention: timedelta = timedelta(days=7)
    priority: Lane = Lane.NORMAL
    deadline: datetime | None = None
    upload_id: UUID | None = None
    is_quiet: bool = False
    item: Item | None = None
    traceparent: str | None = None
    puts: tuple[PutTarget, ...] = ()


@dataclass(frozen=True)
class StoredMatte:
    """A matte that an earlier job left: its place and what the quality check said of it."""

    id: UUID
    key: str
    verdict: Verdict
    reasons: list[str]
    facts: dict[str, Any]


@dataclass(frozen=True)
class ClaimedJob:
    """A job in a worker's hands, or a further output of one that has ended: then `output_id` names that.

    `attempt` is that of the row in hand. It fences: only this attempt may finish it.
    """

    id: UUID
    api_key_id: UUID
    attempt: int
    params: JobParams
    input_key: str
    input_sha256: str
    pixels: int
    queue_ms: int
    metrics: dict[str, Any]
    matte: StoredMatte | None
    has_webhook: bool
    output_id: UUID | None = None
    filename: str | None = None
    has_puts: bool = False
    model_version: str = ""
    """Id of the version that its model stood for when it was claimed; empty where this worker has no such model."""
    batch_id: UUID | None = None
    traceparent: str | None = None

    @property
    def table(self) -> type[Job] | type[Output]:
        """Of the row in hand."""
        return Job if self.output_id is None else Output

    @property
    def held(self) -> tuple[UUID, int]:
        """What a worker holds: the row under this attempt."""
        return self.output_id or self.id, self.attempt

    @property
    def megapixels(self) -> float:
        """Size of the photo in megapixels."""
        return self.pixels / 1e6

    @property
    def about(self) -> dict[str, object]:
        """What a log tells it by."""
        return about_job(self.id, self.attempt, batch_id=self.batch_id, traceparent=self.traceparent)


@dataclass(frozen=True)
class StoredOutput:
    """A file made for a job."""

    name: str
    key: str
    format: str
    sha256: str
    width: int
    height: int
    bytes: int
    quality: int | None = None
    upscaled: bool = False
    bbox_xyxy_px: tuple[int, int, int, int] | None = None
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NewMatte:
    """A matte just made and stored, to be kept for further jobs of the same photo."""

    id: UUID
    key: str
    sha256: str
    width: int
    height: int
    bytes: int


@dataclass(frozen=True)
class Outcome:
    """What a worker made of a job. `matte` is None when a stored one was used."""

    outputs: list[StoredOutput]
    verdict: Verdict
    reasons: list[str]
    facts: dict[str, Any]
    model_version: str
    runtime: str
    metrics: dict[str, Any]
    matte: NewMatte | None
