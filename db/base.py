"""What all tables share: names of constraints, kinds of columns, the words that rows stand in."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    DateTime,
    Enum,
    MetaData,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class JobStatus(StrEnum):
    """Where a job stands. The last four are final."""

    QUEUED = "queued"  # committed; waits for its photo or for a worker
    PROCESSING = "processing"  # claimed by a worker, under a lease
    SUCCEEDED = "succeeded"  # outputs stored
    FAILED = "failed"  # `error_code` says why
    CANCELED = "canceled"  # by its owner
    EXPIRED = "expired"  # its deadline passed first


class Verdict(StrEnum):
    """What the quality check thinks of a matte; apart from the status."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    REVIEW = "review"
    FAIL = "fail"


def text_enum(kind: type[StrEnum], name: str) -> Enum:
    """Text with a CHECK: a new value is one small migration, where a native enum needs more."""
    return Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=True,
        values_callable=lambda e: [v.value for v in e],
    )


class Base(DeclarativeBase):
    """Common metadata: named constraints, times with a zone."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a class attribute
        datetime: DateTime(timezone=True),
        str: Text(),
        dict[str, Any]: JSONB(),
        list[str]: JSONB(),
    }
