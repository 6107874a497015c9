"""The tables of batches: a caller's set of jobs, their bad lines, and photos stored ahead of their jobs."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, text_enum


class BatchStatus(StrEnum):
    """Where a batch stands. The last four are final."""

    VALIDATING = "validating"  # its lines are being read; nothing runs yet
    IN_PROGRESS = "in_progress"  # its lines become jobs, and the jobs are worked off
    CANCELING = "canceling"  # what has not ended is being ended: its owner's wish, its deadline, or `error_code`
    FINALIZING = "finalizing"  # every job has ended; the sums are drawn
    COMPLETED = "completed"  # `failed` says how many of its jobs did not succeed
    FAILED = "failed"  # its lines were refused and nothing ran, or it could not go on; `error_code` says why
    CANCELED = "canceled"  # by its owner
    EXPIRED = "expired"  # its deadline passed first


class LineSource(StrEnum):
    """Where the lines of a batch come from."""

    JSONL = "jsonl"
    CSV = "csv"
    ZIP = "zip"


class Batch(Base):
    """A caller's set of jobs, one for each good line of a manifest or photo of a ZIP.

    A worker reads its lines in chunks; each chunk is a transaction that moves `cursor_line` on, so that a worker that
    dies leaves the rest to the next one. `attempt` is the fencing token of that work, and `due_at` its lease.
    """

    __tablename__ = "batches"
    __table_args__ = (
        CheckConstraint(
            "(completed_at IS NOT NULL) = (status IN ('completed','failed','canceled','expired'))",
            name="final_is_completed",
        ),
        CheckConstraint(
            "CASE WHEN error_code IS NULL THEN status <> 'failed' ELSE status IN ('failed','canceling') END",
            name="error_is_failed",
        ),
        Index("ix_batches_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("ix_batches_list", "api_key_id", "id", postgresql_where=text("deleted_at IS NULL")),
        Index("ix_batches_list_status", "api_key_id", "status", "id", postgresql_where=text("deleted_at IS NULL")),
        Index(
            "ix_batches_labels",
            "labels",
            postgresql_using="gin",
            postgresql_ops={"labels": "jsonb_path_ops"},
            postgresql_where=text("labels <> '{}'::jsonb"),
        ),
        Index("ix_batches_running", "counted_at", postgresql_where=text("completed_at IS NULL")),
        Index(
            "ix_batches_purge",
            "completed_at",
            postgresql_where=text("completed_at IS NOT NULL AND files_purged_at IS NULL"),
        ),
        Index("ix_batches_forget", "completed_at", postgresql_where=text("files_purged_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    status: Mapped[BatchStatus] = mapped_column(
        text_enum(BatchStatus, "status"), server_default=BatchStatus.VALIDATING.value
    )
    retry_of: Mapped[UUID | None]  # the batch that this one runs again; no foreign key: the other may be gone

    source: Mapped[LineSource] = mapped_column(text_enum(LineSource, "source"))
    filename: Mapped[str | None]
    manifest_key: Mapped[str | None]
    manifest_bytes: Mapped[int] = mapped_column(BigInteger)
    options: Mapped[dict[str, Any]]  # of lines that do not say otherwise, as given
    labels: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    webhook_url: Mapped[str | None]
    item_webhooks: Mapped[bool] = mapped_column(server_default=text("false"))
    skip_invalid: Mapped[bool] = mapped_column(server_default=text("false"))
    base_url: Mapped[str] = mapped_column(server_default="")
    traceparent: Mapped[str | None]
    deadline_at: Mapped[datetime | None]

    due_at: Mapped[datetime | None] = mapped_column(server_default=func.now())  # null while no worker need look at it
    attempt: Mapped[int] = mapped_column(Integer, server_default="0")
    crashes: Mapped[int] = mapped_column(Integer, server_default="0")  # stretches in a row that broke off
    cursor_line: Mapped[int] = mapped_column(Integer, server_default="0")  # last line done in this status
    lines: Mapped[int] = mapped_column(Integer, server_default="0")
    invalid: Mapped[int] = mapped_column(Integer, server_default="0")

    # Of jobs, as of `counted_at`. `total` is known once every line was read.
    total: Mapped[int] = mapped_column(Integer, server_default="0")
    made: Mapped[int] = mapped_column(Integer, server_default="0")  # of its lines, so far; exact, unlike the counts
    succeeded: Mapped[int] = mapped_column(Integer, server_default="0")
    failed: Mapped[int] = mapped_column(Integer, server_default="0")  # and those whose deadline passed
    canceled: Mapped[int] = mapped_column(Integer, server_default="0")
    counted_at: Mapped[datetime | None]
    rate_per_s: Mapped[float | None]  # jobs that end in a second, smoothed
    verdicts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))

    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    canceled_at: Mapped[datetime | None]  # when its owner asked for that
    completed_at: Mapped[datetime | None]
    files_purged_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]


class BadLine(Base):
    """A line of a batch that can't be run, and all that is wrong with it."""

    __tablename__ = "bad_lines"

    batch_id: Mapped[UUID] = mapped_column(ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    custom_id: Mapped[str | None]
    errors: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)


class Upload(Base):
    """A photo stored ahead of its jobs: by its owner, or out of a batch's ZIP (then with batch and line).

    It goes when it has expired and no job needs it any more.
    """

    __tablename__ = "uploads"
    __table_args__ = (
        Index("ix_uploads_expires", "expires_at"),
        Index("uq_uploads_line", "batch_id", "line", unique=True, postgresql_where=text("batch_id IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("batches.id"))
    line: Mapped[int | None]
    filename: Mapped[str | None]
    key: Mapped[str]
    sha256: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    format: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    is_turned: Mapped[bool] = mapped_column(server_default=text("false"))  # by EXIF: upright, width is height
    is_animated: Mapped[bool] = mapped_column(server_default=text("false"))  # several frames, or pages
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]

    @property
    def upright_hw(self) -> tuple[int, int]:
        """Height and width as the photo is shown."""
        return (self.width, self.height) if self.is_turned else (self.height, self.width)
