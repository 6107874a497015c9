"""The tables of jobs. A job exists when its row is committed; everything else follows from rows.

Those of batches, keys, webhooks and workers are in `db.batch_models`, `db.key_models`, `db.webhook_models` and
`db.worker_models`.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.base import Base, JobStatus, Verdict, text_enum


class Matte(Base):
    """One alpha matte, shared by the jobs of one key that ask the same of the same photo."""

    __tablename__ = "mattes"
    __table_args__ = (
        UniqueConstraint(
            "api_key_id",
            "input_sha256",
            "existing_alpha",
            "model_version",
            "runtime",
            name="uq_mattes_source",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    input_sha256: Mapped[str]
    existing_alpha: Mapped[str]
    model_version: Mapped[str]
    runtime: Mapped[str]
    key: Mapped[str] = mapped_column(index=True)
    sha256: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger)
    verdict: Mapped[Verdict] = mapped_column(text_enum(Verdict, "verdict"))
    reasons: Mapped[list[str]]
    facts: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


_LEASED = "(leased_until IS NOT NULL) = (status = 'processing' AND made_at IS NULL)"


class Claimable:
    """Columns of a row that workers take under a lease. `attempt` is the fencing token: it rises with every claim."""

    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    status: Mapped[JobStatus] = mapped_column(text_enum(JobStatus, "status"), server_default=JobStatus.QUEUED.value)
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="1")  # the lane: `jobs.lanes`
    due_at: Mapped[datetime | None]  # null while it waits for something else
    attempt: Mapped[int] = mapped_column(Integer, server_default="0")
    retries: Mapped[int] = mapped_column(Integer, server_default="0")  # passing faults so far
    crashes: Mapped[int] = mapped_column(Integer, server_default="0")  # workers lost while they held it
    outages: Mapped[int] = mapped_column(Integer, server_default="0")  # put back in a row as the store was away
    leased_until: Mapped[datetime | None]
    worker: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    completed_at: Mapped[datetime | None]
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    has_puts: Mapped[bool] = mapped_column(server_default=text("false"))  # it ends when its caller's servers have it
    made_at: Mapped[datetime | None]  # since then it is in no worker's hands, and waits for its PUTs


class Job(Claimable, Base):
    """One photo's way to its outputs. Not due while the photo is still to be fetched."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(
            "(completed_at IS NOT NULL) = (status IN ('succeeded','failed','canceled','expired'))",
            name="final_is_completed",
        ),
        CheckConstraint(_LEASED, name="lease_is_processing"),
        CheckConstraint("(error_code IS NOT NULL) = (status = 'failed')", name="error_is_failed"),
        # The claim walks this index: one lane per (priority, key), oldest due first.
        Index(
            "ix_jobs_claim",
            "priority",
            "api_key_id",
            "due_at",
            "id",
            postgresql_where=text("status = 'queued' AND due_at IS NOT NULL AND crashes = 0"),
        ),
        Index("ix_jobs_suspect", "due_at", "id", postgresql_where=text("status = 'queued' AND crashes > 0")),
        Index("ix_jobs_lease", "leased_until", postgresql_where=text("status = 'processing'")),
        Index(
            "ix_jobs_deadline",
            "deadline_at",
            postgresql_where=text("deadline_at IS NOT NULL AND completed_at IS NULL"),
        ),
        # Lists, newest first, whole and by one filter; a caller's further filters are applied to what that one finds.
        Index("ix_jobs_open", "status", "created_at", postgresql_where=text("completed_at IS NULL")),
        Index("ix_jobs_list", "api_key_id", "id", postgresql_where=text("deleted_at IS NULL")),
        Index("ix_jobs_list_status", "api_key_id", "status", "id", postgresql_where=text("deleted_at IS NULL")),
        Index(
            "ix_jobs_list_verdict",
            "api_key_id",
            "verdict",
            "id",
            postgresql_where=text("verdict IS NOT NULL AND deleted_at IS NULL"),
        ),
        Index(
            "ix_jobs_list_model",
            "api_key_id",
            "model_version",
            "id",
            postgresql_where=text("model_version IS NOT NULL AND deleted_at IS NULL"),
        ),
        Index(
            "ix_jobs_labels",
            "labels",
            postgresql_using="gin",
            postgresql_ops={"labels": "jsonb_path_ops"},
            postgresql_where=text("labels <> '{}'::jsonb"),
        ),
        # A job of the same photo, for `dedupe=reuse`.
        Index(
            "ix_jobs_photo",
            "api_key_id",
            "input_sha256",
            postgresql_where=text("input_sha256 IS NOT NULL AND files_purged_at IS NULL"),
        ),
        Index("ix_jobs_matte", "matte_id", postgresql_where=text("matte_id IS NOT NULL")),
        Index(
            "ix_jobs_purge",
            "expires_at",
            postgresql_where=text("expires_at IS NOT NULL AND files_purged_at IS NULL"),
        ),
        Index("ix_jobs_forget", "completed_at", postgresql_where=text("files_purged_at IS NOT NULL")),
        # A line becomes one job, whatever happens to the worker that makes it one.
        Index("uq_jobs_line", "batch_id", "line", unique=True, postgresql_where=text("batch_id IS NOT NULL")),
        # Counts and filtered lists of a batch read this index alone.
        Index("ix_jobs_batch", "batch_id", "status", "line", postgresql_where=text("batch_id IS NOT NULL")),
        Index("ix_jobs_custom_id", "batch_id", "custom_id", postgresql_where=text("batch_id IS NOT NULL")),
        Index("ix_jobs_upload", "upload_id", postgresql_where=text("upload_id IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    started_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime | None]  # expired unless it is final by then
    retention: Mapped[timedelta] = mapped_column(server_default=text("'7 days'"))  # of its files, from its end on
    expires_at: Mapped[datetime | None]  # the end of that; null while it is not final
    files_purged_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]

    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("batches.id"))
    line: Mapped[int | None]  # of the batch's manifest, from 1
    custom_id: Mapped[str | None]  # the caller's name of the line; one of a kind in its batch
    # No event and no webhook when it ends: a batch's job that nobody asked to hear of.
    is_quiet: Mapped[bool] = mapped_column(server_default=text("false"))

    source_url: Mapped[str | None]
    upload_id: Mapped[UUID | None] = mapped_column(ForeignKey("uploads.id"))  # whose file `input_key` names
    filename: Mapped[str | None]
    input_key: Mapped[str | None]
    input_sha256: Mapped[str | None]
    input_bytes: Mapped[int | None] = mapped_column(BigInteger)
    input_format: Mapped[str | None]
    input_width: Mapped[int | None]
    input_height: Mapped[int | None]

    params: Mapped[dict[str, Any]]
    labels: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    webhook_url: Mapped[str | None]
    base_url: Mapped[str] = mapped_column(server_default="")  # of the API as the caller saw it: webhooks name it too
    traceparent: Mapped[str | None]  # the trace that its work belongs to, see `config.tracing`

    verdict: Mapped[Verdict | None] = mapped_column(text_enum(Verdict, "verdict"))
    reasons: Mapped[list[str]] = mapped_column(server_default=text("'[]'"))
    metrics: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    model_version: Mapped[str | None]
    runtime: Mapped[str | None]
    matte_id: Mapped[UUID | None] = mapped_column(ForeignKey("mattes.id"))

    outputs: Mapped[list["Output"]] = relationship(lazy="raise", order_by="Output.name")
    matte: Mapped[Matte | None] = relationship(lazy="raise")


class Output(Claimable, Base):
    """One file of a job. Those asked for with the job are written when it succeeds; a further one is claimed by itself.

    A job's final status never changes: a further output has a status, a lease and attempts of its own.
    """

    __tablename__ = "outputs"
    __table_args__ = (
        UniqueConstraint("job_id", "name"),
        CheckConstraint("(completed_at IS NOT NULL) = (status IN ('succeeded','failed'))", name="final_is_completed"),
        CheckConstraint(_LEASED, name="lease_is_processing"),
        CheckConstraint("(error_code IS NOT NULL) = (status = 'failed')", name="error_is_failed"),
        CheckConstraint("(key IS NOT NULL) = (status = 'succeeded' OR made_at IS NOT NULL)", name="file_is_made"),
        Index(
            "ix_outputs_claim",
            "priority",
            "api_key_id",
            "due_at",
            "id",
            postgresql_where=text("status = 'queued' AND due_at IS NOT NULL AND crashes = 0"),
        ),
        Index("ix_outputs_suspect", "due_at", "id", postgresql_where=text("status = 'queued' AND crashes > 0")),
        Index("ix_outputs_lease", "leased_until", postgresql_where=text("status = 'processing'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    name: Mapped[str]
    params: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))  # `jobs.params.OutputParams`
    format: Mapped[str]
    # The file; null while it is not made.
    key: Mapped[str | None]
    sha256: Mapped[str | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    quality: Mapped[int | None] = mapped_column(
        SmallInteger
    )  # that the file was written with; null where nothing is lost
    upscaled: Mapped[bool] = mapped_column(server_default=text("false"))  # pixels were made up to reach the size
    # Where the product stands in the file: left, top, right, bottom (exclusive); null where there is none.
    bbox_xyxy_px: Mapped[list[int] | None] = mapped_column(JSONB(none_as_null=True))
    # How its PUT to the caller's URL fares, as readers see it; null where there is none, or it has not begun.
    put: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


class Fetch(Base):
    """A photo to be downloaded for a job; due until it is here or given up."""

    __tablename__ = "fetches"
    __table_args__ = (
        Index("ix_fetches_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),  # whether any is due
        # The claim walks this index: one lane per (priority, key), in it one queue per host, oldest due first.
        Index(
            "ix_fetches_claim",
            "priority",
            "api_key_id",
            "host_md5",
            "due_at",
            "job_id",
            postgresql_where=text("due_at IS NOT NULL"),
        ),
    )

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    # Of the job, which never changes them.
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    priority: Mapped[int] = mapped_column(SmallInteger)
    host_md5: Mapped[str]  # of the URL's authority: hosts lie evenly, so a claim may begin at any of them
    attempt: Mapped[int] = mapped_column(Integer, server_default="0")  # the fencing token: rises with every claim
    tries: Mapped[int] = mapped_column(Integer, server_default="0")  # claims that were not given back
    outages: Mapped[int] = mapped_column(Integer, server_default="0")  # given back in a row as the store was away
    due_at: Mapped[datetime | None] = mapped_column(server_default=func.now())  # a lease is a due time in the future
    last_error: Mapped[str | None]
