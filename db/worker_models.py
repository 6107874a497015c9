"""Tables of workers and of the models that they run."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Identity,
    Index,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class ModelVersion(Base):
    """A version of a model that somebody imported. Rows are written once and never changed."""

    __tablename__ = "models"

    id: Mapped[str] = mapped_column(primary_key=True)  # name@version, as jobs record it
    name: Mapped[str]
    version: Mapped[str]
    spec: Mapped[dict[str, Any]]
    key: Mapped[str]  # of the weights in the store
    sha256: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[str]  # where it was imported from
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Promotion(Base):
    """Which version a name stands for: its newest promotion that was not rolled back."""

    __tablename__ = "model_promotions"
    __table_args__ = (
        Index("ix_model_promotions_current", "name", "id", postgresql_where=text("rolled_back_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str]
    model_id: Mapped[str]  # in the registry, or one that comes with the package
    promoted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    rolled_back_at: Mapped[datetime | None]


class WorkerHeartbeat(Base):
    """A live worker process; written by its loop, and by a timer when idle."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    pid: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    beat_at: Mapped[datetime] = mapped_column(server_default=func.now())
    progress_at: Mapped[datetime | None]
    model_version: Mapped[str | None]
    runtime: Mapped[str | None]
    problem: Mapped[str | None]  # what it could not do and lives with, such as a promoted model that does not load
    # Since the process started: `jobs`, and milliseconds of each stage, `commit_ms` with them, which no job's own
    # metrics can hold.
    totals: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
