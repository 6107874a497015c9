"""Tables of API keys, of what they asked before, and of secrets."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ForeignKey,
    Index,
    SmallInteger,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.base import Base


class ApiKey(Base):
    """A caller. What it shows to be let in stands in `ApiKeySecret`; the webhook secret is needed to sign."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    scopes: Mapped[list[str]]
    webhook_secret: Mapped[str]
    previous_webhook_secret: Mapped[str | None]  # signs too, until the time below: what a rotation replaced
    previous_webhook_secret_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    # Limits of its own; the service's where null, none where 0.
    requests_per_minute: Mapped[int | None]
    megapixels_per_minute: Mapped[int | None]
    queue_depth: Mapped[int | None]
    last_claimed_at: Mapped[datetime | None]  # whose turn it is: the key served longest ago comes first
    last_fetched_at: Mapped[datetime | None]  # the same for its downloads
    last_notified_at: Mapped[datetime | None]  # and for its webhooks
    last_put_at: Mapped[datetime | None]  # and for its PUTs
    files_retention: Mapped[timedelta | None]  # of its jobs' files; the service's where null

    secrets: Mapped[list["ApiKeySecret"]] = relationship(lazy="raise", order_by="ApiKeySecret.created_at")


class ApiKeySecret(Base):
    """What lets a caller in, as a hash. A rotated key has two for a while; its jobs stay its own."""

    __tablename__ = "api_key_secrets"
    __table_args__ = (Index("ix_api_key_secrets_key", "api_key_id"),)

    short: Mapped[str] = mapped_column(primary_key=True)  # the part that may be shown
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    sha256: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]  # set by the rotation that replaces it
    last_used_at: Mapped[datetime | None]

    key: Mapped[ApiKey] = relationship(lazy="raise", viewonly=True)


class IdempotencyKey(Base):
    """A reply that was given once and is given again to the same request; committed with what the request made."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        Index("ix_idempotency_keys_forget", "created_at"),
        Index("ix_idempotency_keys_subject", "subject_id"),
    )

    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"), primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)  # method and path
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]  # sha256 of what the request asked for
    status: Mapped[int] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, Any]]
    body: Mapped[str]
    subject_id: Mapped[UUID | None]  # the job or batch that was made: its deletion scrubs the reply
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Secret(Base):
    """A random secret that all processes share, made by the first one that needs it."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
