"""The objects of replies, as OpenAPI shows them. All times are RFC 3339 in UTC."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from db.base import JobStatus, Verdict

Time = Annotated[
    datetime,
    PlainSerializer(lambda at: at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), str),
]

_JOB = "job_0199c0ffee007000800000000000cafe"


class FieldProblem(BaseModel):
    """One bad field."""

    pointer: str = Field(examples=["/background"], description="JSON pointer (RFC 6901) to the field.")
    code: str = Field(examples=["invalid_bg_color"])
    detail: str


class Problem(BaseModel):
    """An error (RFC 9457). `code` is stable; `docs/errors.md` tells each one's cause and fix."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["/docs/errors#invalid_bg_color"])
    title: str
    status: int
    detail: str
    instance: str = Field(examples=["/v1/jobs"])
    code: str = Field(examples=["invalid_bg_color"])
    errors: list[FieldProblem]
    request_id: str = Field(description="Also in the X-Request-Id header; names the request in the service's logs.")
    retryable: bool = Field(description="Whether the same request may succeed later.")


class JobProblem(BaseModel):
    """Why a job failed: a problem without `status`, since no request failed."""

    type: str = Field(examples=["/docs/errors#failed_image_download"])
    title: str
    detail: str | None
    code: str = Field(examples=["failed_image_download"])
    retryable: bool = Field(description="Whether submitting the photo again may succeed.")


class JobInput(BaseModel):
    """The photo. Null fields are not known yet: the photo is still to be fetched."""

    filename: str | None = Field(examples=["mug.jpg"])
    url: str | None = Field(
        description="Where the photo is fetched from, its query as `?[redacted]` and without user; null for an upload.",
        examples=["https://photos.example/mug.jpg?[redacted]"],
    )
    sha256: str | None
    bytes: int | None
    format: str | None = Field(examples=["jpeg"])
    width: int | None = Field(description="In pixels, as stored: before the EXIF orientation is applied.")
    height: int | None


class File(BaseModel):
    """One file that can be downloaded, with the API key."""

    url: str = Field(examples=[f"https://packshot.example/v1/jobs/{_JOB}/outputs/cutout"])
    sha256: str
    width: int
    height: int
    bytes: int
    format: str = Field(examples=["png"])


class OutputOptions(BaseModel):
    """Effective options of an output, defaults filled in."""

    name: str = Field(examples=["cutout"])
    format: str = Field(examples=["png"])
    size: str = Field(examples=["original"])
    background: str = Field(examples=["transparent"])
    quality: int | None
    max_bytes: int | None = None
    lossless: bool = False
    crop: bool
    margin: str = Field(examples=["0"])
    fill: str | None
    position: str = Field(examples=["original"])
    channels: str = Field("rgba", examples=["rgba"])
    depth: int = 8
    roi: str | None = None


class PutObject(BaseModel):
    """How an output gets to the URL that its caller gave. The URL itself is shown nowhere."""

    status: Literal["pending", "done", "failed", "canceled"]
    host: str = Field(description="The URL's host.", examples=["bucket.s3.example"])
    tries: int
    error: str | None = Field(description="What the last try that failed said.")
    completed_at: Time | None


class OutputObject(BaseModel):
    """One output. Those of the submission come when the job succeeds, whole; one asked for later is queued first."""

    name: str = Field(examples=["cutout"])
    object: Literal["output"] = "output"
    status: JobStatus = Field(description="`queued`, `processing`, `succeeded` or `failed`.")
    url: str = Field(examples=[f"https://packshot.example/v1/jobs/{_JOB}/outputs/cutout"])
    sha256: str | None = Field(description="Like the sizes null until the output has succeeded.")
    width: int | None
    height: int | None
    bytes: int | None
    format: str = Field(examples=["png"])
    quality: int | None = Field(
        description="That the file was written with; null where nothing is lost, and until then."
    )
    upscaled: bool = Field(description="Whether pixels were made up to reach the size.")
    bbox_xyxy_px: list[int] | None = Field(
        description="Left, top, right and bottom (exclusive) of the product in the file; null where there is none."
    )
    params: OutputOptions
    error: JobProblem | None
    put: PutObject | None = Field(description="Its PUT to the caller's URL, once it is made; null where there is none.")
    created_at: Time
    completed_at: Time | None


class Params(BaseModel):
    """Effective options, defaults filled in."""

    outputs: list[OutputOptions]
    model: str = Field(examples=["unet-fast"])
    existing_alpha: str = Field(examples=["auto"])
    animated: str = Field(
        "refuse", examples=["refuse"], description="What becomes of a photo of several frames or pages."
    )


class JobUrls(BaseModel):
    """Where to go on."""

    self: str
    cancel: str
    events: str = Field(description="Server-Sent Events, until the job has ended.")


class JobObject(BaseModel):
    """A job. `status` says how far it is, `verdict` what the quality check thinks: a job can succeed and be `fail`."""

    model_config = ConfigDict(protected_namespaces=())

    id: str = Field(examples=[_JOB])
    object: Literal["job"] = "job"
    status: JobStatus
    priority: Literal["interactive", "normal", "bulk"]
    verdict: Verdict | None
    reasons: list[str] = Field(examples=[[]], description="Why the verdict is not `pass`, such as `no_foreground`.")
    created_at: Time
    started_at: Time | None
    completed_at: Time | None
    expires_at: Time | None = Field(description="When the files are removed; null until the job has ended.")
    deadline: Time | None = Field(description="The job expires unless it has ended by then.")
    input: JobInput
    params: Params
    outputs: list[OutputObject]
    matte: File | None
    error: JobProblem | None
    metrics: dict[str, Any] = Field(examples=[{"queue_ms": 12, "infer_ms": 240}])
    model: str | None = Field(description="The model version that ran.", examples=["unet-fast@1"])
    runtime: str | None
    attempt: int
    labels: dict[str, str]
    batch_id: str | None = Field(description="The batch that it is a line of.")
    line: int | None = Field(description="Of the batch's manifest, from 1.")
    custom_id: str | None = Field(description="The line's name, as the manifest gives it.")
    urls: JobUrls


class LinkedOutput(BaseModel):
    """An output's link."""

    name: str = Field(examples=["cutout"])
    url: str


class Links(BaseModel):
    """Links to a job's files that need no key, good until `expires_at`."""

    object: Literal["links"] = "links"
    expires_at: Time
    outputs: list[LinkedOutput]
    matte: str | None


class JobList(BaseModel):
    """A page of jobs, newest first."""

    object: Literal["list"] = "list"
    data: list[JobObject]
    has_more: bool = Field(description="Whether there are more in the direction asked for.")


class KeyLimits(BaseModel):
    """What the caller's key may ask for; null sets no limit."""

    requests_per_minute: int | None
    megapixels_per_minute: int | None
    queue_depth: int | None = Field(description="Jobs that may wait or run at a time.")


class Limits(BaseModel):
    """What the service takes."""

    max_upload_bytes: int
    max_megapixels: float
    max_labels: int = 16
    input_formats: list[str]
    output_formats: list[str]
    files_retention_s: int = Field(description="Seconds that files stay after a job has ended.")
    rows_retention_s: int = Field(description="Seconds that a job can be read after it has ended.")
    key: KeyLimits


class ModelObject(BaseModel):
    """An installed model."""

    id: str = Field(examples=["unet-fast@1"])
    object: Literal["model"] = "model"
    name: str
    version: str
    is_default: bool


class ModelList(BaseModel):
    """The installed models."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether requests can be served. Broker and workers are told, but no reason to be unready: rows wait for them."""

    status: Literal["ready"] = "ready"
    checks: dict[str, str] = Field(examples=[{"database": "ok", "storage": "ok", "broker": "unreachable"}])
    workers: dict[str, int] = Field(examples=[{"gpu": 1, "io": 1, "sweeper": 1}])
