"""The tables of webhooks: events, the endpoints that are told of them, deliveries and their attempts."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    Sequence,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.base import Base, text_enum


class DeliveryStatus(StrEnum):
    """Where a delivery of one event to one URL or endpoint stands. Only a replay leaves the last four."""

    PENDING = "pending"  # due now, or for its next try
    HELD = "held"  # waits until the listener of an endpoint without a URL pulls it
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"  # the last retry failed
    GONE = "gone"  # the receiver answered 410
    CANCELED = "canceled"  # its endpoint was disabled or deleted first


class DisabledReason(StrEnum):
    """Why an endpoint is told of nothing."""

    BY_OWNER = "by_owner"
    GONE = "gone"  # it answered 410
    FAILING = "failing"  # every call failed for days
    NOT_PULLED = "not_pulled"  # its listener went away


class WebhookEndpoint(Base):
    """Where a key wants events of some types told. Without a URL a listener pulls them."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        CheckConstraint("(disabled_at IS NULL) = (disabled_reason IS NULL)", name="disabled_has_reason"),
        CheckConstraint("deleted_at IS NULL OR disabled_at IS NOT NULL", name="deleted_is_disabled"),
        Index("ix_webhook_endpoints_key", "api_key_id", "id", postgresql_where=text("deleted_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    url: Mapped[str | None]
    description: Mapped[str] = mapped_column(server_default="")
    events: Mapped[list[str]]  # names, or patterns such as `batch.*`
    secret: Mapped[str]
    previous_secret: Mapped[str | None]  # signs too, until the time below: what a rotation replaced
    previous_secret_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[DisabledReason | None] = mapped_column(text_enum(DisabledReason, "disabled_reason"))
    failing_since: Mapped[datetime | None]  # first failed call since the last good one
    delivered_at: Mapped[datetime | None]  # last good call
    pulled_at: Mapped[datetime | None]  # when a listener last asked
    deleted_at: Mapped[datetime | None]  # gone for its owner; the row goes after its deliveries


# One for all: allocated without a lock, so no commit waits for another's. It has gaps.
EVENT_SEQUENCE = Sequence("webhook_events_sequence_seq", data_type=BigInteger, metadata=Base.metadata)


class WebhookEvent(Base):
    """What happened to a job or a batch of a key, with the body frozen when it happened."""

    __tablename__ = "webhook_events"
    __table_args__ = (
        CheckConstraint("job_id IS NULL OR batch_id IS NULL", name="one_subject"),
        # Each status is reached once. Whole, not partial: it also finds a job's events, when the job's row goes too.
        UniqueConstraint("job_id", "type"),
        Index(
            "uq_webhook_events_batch", "batch_id", "type", unique=True, postgresql_where=text("batch_id IS NOT NULL")
        ),
        Index(
            "ix_webhook_events_tests",
            "created_at",
            postgresql_where=text("job_id IS NULL AND batch_id IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, EVENT_SEQUENCE, server_default=EVENT_SEQUENCE.next_value())
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    # Neither: a test of an endpoint.
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("batches.id", ondelete="CASCADE"))
    type: Mapped[str]
    body: Mapped[str]
    traceparent: Mapped[str | None]  # of the job or batch
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WebhookDelivery(Base):
    """One event on its way to one endpoint, or to the URL that the job named; the retry schedule stands here."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("(endpoint_id IS NULL) = (url IS NOT NULL)", name="one_target"),
        Index("ix_webhook_deliveries_due", "due_at", postgresql_where=text("status = 'pending'")),  # whether any is due
        # The claim walks this index: one queue per key and receiver, oldest due first.
        Index(
            "ix_webhook_deliveries_claim",
            "api_key_id",
            "lane_md5",
            "due_at",
            "id",
            postgresql_where=text("status = 'pending'"),
        ),
        Index("ix_webhook_deliveries_event", "event_id"),
        Index("ix_webhook_deliveries_list", "api_key_id", "id"),
        Index("ix_webhook_deliveries_status", "api_key_id", "status", "id"),
        Index("ix_webhook_deliveries_endpoint", "endpoint_id", "status", "id"),
        Index(
            "ix_webhook_deliveries_url",
            "api_key_id",
            "url",
            postgresql_where=text("status = 'pending' AND url IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_events.id", ondelete="CASCADE"))
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    endpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"))
    url: Mapped[str | None]
    lane_md5: Mapped[str]  # of `db.delivery_claims.lane_of`
    status: Mapped[DeliveryStatus] = mapped_column(
        text_enum(DeliveryStatus, "status"), server_default=DeliveryStatus.PENDING.value
    )
    attempt: Mapped[int] = mapped_column(Integer, server_default="0")
    attempts_before: Mapped[int] = mapped_column(Integer, server_default="0")  # the last replay: the schedule's start
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())  # a lease is a due time in the future
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    completed_at: Mapped[datetime | None]

    event: Mapped[WebhookEvent] = relationship(lazy="raise")
    endpoint: Mapped[WebhookEndpoint | None] = relationship(lazy="raise")


class WebhookAttempt(Base):
    """One POST and what came back."""

    __tablename__ = "webhook_attempts"
    __table_args__ = (UniqueConstraint("delivery_id", "number"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_deliveries.id", ondelete="CASCADE"))
    number: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    http_status: Mapped[int | None]
    error: Mapped[str | None]
    response_excerpt: Mapped[str | None]
    took_ms: Mapped[int]
