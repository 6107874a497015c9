"""The table of PUTs: outputs on their way to URLs that their callers gave."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, SmallInteger, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, text_enum


class PutStatus(StrEnum):
    """Where a PUT stands. The last three are final."""

    WAITING = "waiting"  # for its output to be made
    PENDING = "pending"  # due, or in a worker's hands
    DONE = "done"  # the caller's server said 2xx
    FAILED = "failed"  # `error_detail` says why
    CANCELED = "canceled"  # its job ended before


class Put(Base):
    """One output that goes to its caller's URL by PUT. URL and headers are secrets: they go when it is final."""

    __tablename__ = "puts"
    __table_args__ = (
        UniqueConstraint("job_id", "name"),
        CheckConstraint("(due_at IS NOT NULL) = (status = 'pending')", name="due_is_pending"),
        CheckConstraint("(url IS NULL) = (status IN ('done','failed','canceled'))", name="final_has_no_url"),
        CheckConstraint("url IS NOT NULL OR headers IS NULL", name="final_has_no_headers"),
        CheckConstraint(
            "(completed_at IS NOT NULL) = (status IN ('done','failed','canceled'))", name="final_is_completed"
        ),
        Index("ix_puts_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),  # whether any is due
        # The claim walks this index, as `db.fair_queues` does that of fetches.
        Index(
            "ix_puts_claim",
            "priority",
            "api_key_id",
            "host_md5",
            "due_at",
            "id",
            postgresql_where=text("due_at IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    name: Mapped[str]  # the output's
    is_further: Mapped[bool] = mapped_column(server_default=text("false"))  # of an output asked for after the job's end
    # Of the job, which never changes them.
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    priority: Mapped[int] = mapped_column(SmallInteger)
    host: Mapped[str]  # the URL's authority, which is no secret
    host_md5: Mapped[str]
    url: Mapped[str | None]
    headers: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    status: Mapped[PutStatus] = mapped_column(text_enum(PutStatus, "status"), server_default=PutStatus.WAITING.value)
    attempt: Mapped[int] = mapped_column(Integer, server_default="0")  # the fencing token: rises with every claim
    tries: Mapped[int] = mapped_column(Integer, server_default="0")  # claims that were not given back
    outages: Mapped[int] = mapped_column(Integer, server_default="0")  # given back in a row as the store was away
    due_at: Mapped[datetime | None]  # a lease is a due time in the future
    error_detail: Mapped[str | None]  # of the last try that failed
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    completed_at: Mapped[datetime | None]
