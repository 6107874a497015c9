"""The objects of replies. Times have a zone; fields that a newer service adds are left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from packshot_client.errors import FieldProblem

T = TypeVar("T")

FINAL = frozenset({"succeeded", "failed", "canceled", "expired"})
"""A job's statuses that never change again."""
BATCH_FINAL = frozenset({"completed", "failed", "canceled", "expired"})
"""A batch's."""


@dataclass(frozen=True)
class JobProblem:
    """Why a job failed."""

    code: str
    title: str
    detail: str | None = None
    retryable: bool = False


@dataclass(frozen=True)
class JobInput:
    """The photo. None is not known yet: the photo is still to be fetched. Sizes are in pixels, as stored."""

    filename: str | None = None
    url: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Matte:
    """The alpha matte, a grey PNG: 255 is product."""

    url: str
    sha256: str
    width: int
    height: int
    bytes: int
    format: str = "png"


@dataclass(frozen=True)
class Put:
    """How an output gets to its `put_url`: `pending`, `done`, `failed` or `canceled`. `error`: of the last bad try."""

    status: str
    host: str
    tries: int = 0
    error: str | None = None
    completed_at: datetime | None = None


@dataclass(frozen=True)
class Output:
    """One file made of a photo. sha256 and sizes are None until it has succeeded."""

    name: str
    url: str
    format: str
    status: str = "succeeded"
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    quality: int | None = None
    error: JobProblem | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    put: Put | None = None


@dataclass(frozen=True)
class Job:
    """A job: one photo. `status` says how far it is, `verdict` what the quality check thinks of the cutout."""

    id: str
    status: str
    created_at: datetime
    verdict: str | None = None
    reasons: tuple[str, ...] = ()
    started_at: datetime | None = None
    completed_at: datetime | None = None
    expires_at: datetime | None = None
    priority: str | None = None
    deadline: datetime | None = None
    input: JobInput = field(default_factory=JobInput)
    params: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[Output, ...] = ()
    matte: Matte | None = None
    error: JobProblem | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    runtime: str | None = None
    attempt: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    custom_id: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.status in FINAL

    def output(self, name: str) -> Output | None:
        """The output of that name."""
        return next((output for output in self.outputs if output.name == name), None)


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some entries of a list, newest first."""

    data: tuple[T, ...]
    has_more: bool


@dataclass(frozen=True)
class RequestCounts:
    """How many jobs of a batch stand where. `total` is 0 until every line was read."""

    total: int = 0
    completed: int = 0
    failed: int = 0
    canceled: int = 0


@dataclass(frozen=True)
class BadLine:
    """A line of a manifest that can't be run; `line` counts from 1."""

    line: int
    custom_id: str | None = None
    errors: tuple[FieldProblem, ...] = ()


@dataclass(frozen=True)
class LineReport:
    """What reading a manifest gave; `errors` are the first bad lines."""

    lines: int = 0
    valid: int = 0
    invalid: int = 0
    errors: tuple[BadLine, ...] = ()


@dataclass(frozen=True)
class Batch:
    """A set of jobs. A job that fails is counted and stops no other; `completed` says that all have ended."""

    id: str
    status: str
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    retry_of: str | None = None
    filename: str | None = None
    validation: LineReport = field(default_factory=LineReport)
    request_counts: RequestCounts = field(default_factory=RequestCounts)
    verdicts: Mapping[str, int] = field(default_factory=dict)
    progress: float = 0.0
    rate_per_s: float | None = None
    estimated_completion_at: datetime | None = None
    error: JobProblem | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.status in BATCH_FINAL


@dataclass(frozen=True)
class BatchPlan:
    """What a manifest would give; nothing was made. `errors` are all bad lines."""

    lines: int
    valid: int
    invalid: int
    would_run: bool
    error: JobProblem | None = None
    errors: tuple[BadLine, ...] = ()


@dataclass(frozen=True)
class Upload:
    """A photo stored ahead of the jobs that use it, until `expires_at`."""

    id: str
    sha256: str
    bytes: int
    format: str
    width: int
    height: int
    created_at: datetime
    expires_at: datetime
    filename: str | None = None


@dataclass(frozen=True)
class Limits:
    """What the service takes."""

    max_upload_bytes: int
    max_megapixels: float
    input_formats: tuple[str, ...] = ()
    output_formats: tuple[str, ...] = ()
    files_retention_s: int | None = None
    rows_retention_s: int | None = None


@dataclass(frozen=True)
class Model:
    """An installed model; a job names it by `id` or by `name`."""

    id: str
    name: str
    version: str
    is_default: bool = False


@dataclass(frozen=True)
class Event:
    """A verified webhook. `id` is the same when it comes again."""

    id: str
    type: str
    timestamp: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Cutout:
    """What `cut_out` gives: the job that ended, and the bytes of its cutout."""

    job: Job
    content: bytes
