"""Public ids: a prefix and a UUIDv7, so that ids sort by time."""

from uuid import UUID

from uuid_utils import compat

JOB_PREFIX = "job_"
BATCH_PREFIX = "batch_"
UPLOAD_PREFIX = "upl_"
EVENT_PREFIX = "evt_"
ENDPOINT_PREFIX = "whe_"
DELIVERY_PREFIX = "whd_"
KEY_PREFIX = "key_"


def new_id() -> UUID:
    """A fresh UUIDv7 (RFC 9562)."""
    return compat.uuid7()


def job_public_id(job_id: UUID) -> str:
    """`job_` and 32 hexadecimal digits."""
    return JOB_PREFIX + job_id.hex


def parse_job_id(public_id: str) -> UUID | None:
    """The id behind a job's public one, or None where it is none: to a caller, no such job."""
    return parse_id(public_id, JOB_PREFIX)


def parse_id(public_id: str, prefix: str) -> UUID | None:
    """The id behind `prefix` and 32 hexadecimal digits, or None where it is none."""
    digits = public_id.removeprefix(prefix)
    if digits == public_id or len(digits) != 32 or not digits.isascii():  # noqa: PLR2004 - a UUID's digits
        return None
    try:
        return UUID(hex=digits)
    except ValueError:
        return None
