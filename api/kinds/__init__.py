"""Every error code with its HTTP status, title, cause and fix. `docs/errors.md` and `/docs/errors` are made from it."""

from collections.abc import Mapping

from api.kinds.batches import BATCH
from api.kinds.jobs import JOB, PHOTO
from api.kinds.kind import Kind
from api.kinds.options import OPTIONS
from api.kinds.request import REQUEST
from api.kinds.service import SERVICE, WEBHOOKS

__all__ = ["GROUPS", "KINDS", "Kind"]

GROUPS: Mapping[str, Mapping[str, Kind]] = {
    "The request": REQUEST,
    "Options": OPTIONS,
    "The photo": PHOTO,
    "The job": JOB,
    "Webhooks": WEBHOOKS,
    "Batches": BATCH,
    "The service": SERVICE,
}
KINDS: Mapping[str, Kind] = {code: kind for group in GROUPS.values() for code, kind in group.items()}
