"""The objects of batches and uploads in replies."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.schemas import FieldProblem, JobObject, JobProblem, Time
from db.batch_models import BatchStatus, LineSource

_BATCH = "batch_0199c0ffee007000800000000000cafe"


class RequestCounts(BaseModel):
    """How many jobs stand where."""

    total: int = Field(description="Jobs of the batch; 0 until every line was read.")
    completed: int = Field(description="Succeeded.")
    failed: int = Field(description="Failed, or past their deadline.")
    canceled: int


class BadLineObject(BaseModel):
    """A line that can't be run."""

    line: int = Field(description="From 1, as an editor shows it. Of a ZIP: the entry's place in its directory.")
    custom_id: str | None
    errors: list[FieldProblem]


class LineReport(BaseModel):
    """What reading the lines gave."""

    lines: int
    valid: int
    invalid: int
    errors: list[BadLineObject] = Field(description="The first bad lines; all of them are at `urls.errors`.")


class BatchUrls(BaseModel):
    """Where to go on."""

    self: str
    cancel: str
    retry: str
    items: str
    events: str = Field(description="Server-Sent Events, until the batch has ended.")
    results: str = Field(description="A ZIP of all outputs with a manifest, once the batch has ended.")
    output: str = Field(description="JSON Lines of the jobs that succeeded, once the batch has ended.")
    errors: str = Field(description="JSON Lines of bad lines and of jobs that did not succeed.")


class BatchObject(BaseModel):
    """A batch. A job that fails is counted and keeps no other from running; the batch is `completed` all the same."""

    id: str = Field(examples=[_BATCH])
    object: Literal["batch"] = "batch"
    status: BatchStatus
    retry_of: str | None = Field(description="The batch that this one runs again.")
    source: LineSource
    filename: str | None = Field(examples=["autumn.csv"])
    created_at: Time
    started_at: Time | None = Field(description="When its lines were found good and its jobs began to be made.")
    completed_at: Time | None
    deadline_at: Time | None
    validation: LineReport
    request_counts: RequestCounts
    verdicts: dict[str, int] = Field(examples=[{"pass": 97, "review": 2, "fail": 1}], description="Once it has ended.")
    progress: float = Field(description="Share of the jobs that have ended, 0 to 1.")
    rate_per_s: float | None = Field(description="Jobs that end in a second, as measured.")
    estimated_completion_at: Time | None = Field(description="By that rate; null while there is no telling.")
    counted_at: Time | None = Field(description="When the jobs were counted last, mostly a few seconds ago.")
    error: JobProblem | None
    options: dict[str, Any] = Field(description="Of lines that do not say otherwise.")
    item_webhooks: bool
    skip_invalid: bool
    labels: dict[str, str]
    urls: BatchUrls


class BatchList(BaseModel):
    """A page of batches, newest first."""

    object: Literal["list"] = "list"
    data: list[BatchObject]
    has_more: bool


class ItemList(BaseModel):
    """A page of a batch's jobs, by line."""

    object: Literal["list"] = "list"
    data: list[JobObject]
    has_more: bool


class BatchPlan(BaseModel):
    """What a batch would be (`validate_only`); nothing was made."""

    object: Literal["batch.plan"] = "batch.plan"
    source: LineSource
    lines: int
    valid: int
    invalid: int
    would_run: bool
    error: JobProblem | None
    errors: list[BadLineObject] = Field(description="Every bad line.")


class UploadObject(BaseModel):
    """A photo stored ahead of the jobs that use it."""

    id: str = Field(examples=["upl_0199c0ffee007000800000000000cafe"])
    object: Literal["upload"] = "upload"
    filename: str | None
    sha256: str
    bytes: int
    format: str = Field(examples=["jpeg"])
    width: int
    height: int
    created_at: Time
    expires_at: Time = Field(description="Until then jobs may use it; those that do keep it longer.")
