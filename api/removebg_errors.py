"""Errors as remove.bg's clients read them: `{"errors": [{"title", "detail", "code"}]}`, with its statuses."""

import math
import time

from fastapi import Request
from fastapi.responses import JSONResponse

from api.kinds import KINDS
from api.problems import RETRY_AFTER_S, ProblemError
from jobs.quotas import Standing

PREFIX = "/v1.0/"

_CODES = {
    "unauthorized": "auth_failed",
    "key_in_query": "auth_failed",
    "rate_limited": "rate_limit_exceeded",
    "queue_full": "rate_limit_exceeded",
}
_STATUSES = {401: 403, **dict.fromkeys((409, 410, 413, 415, 422), 400)}
"""What its clients do not know becomes what they do."""


def render_removebg(error: ProblemError, request: Request) -> JSONResponse:
    """The problem as a response; several bad fields are several errors."""
    kind = KINDS[error.code]
    if error.errors:
        errors = [_entry(field.code, field.detail) for field in error.errors]
    else:
        errors = [_entry(error.code, error.detail)]
    headers = {**error.headers, **rate_headers(request)}
    if kind.retryable:
        headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    return JSONResponse({"errors": errors}, _STATUSES.get(kind.status, kind.status), headers)


def rate_headers(request: Request) -> dict[str, str]:
    """What is left of the minute, by remove.bg's names: of the quota that is nearest to its end. Reset is Unix time."""
    counted: list[Standing] = [
        standing for standing in request.scope["state"].get("standings", []) if standing.reset_s is not None
    ]
    if not counted:
        return {}
    nearest = min(counted, key=lambda standing: standing.remaining / standing.quota)
    return {
        "X-RateLimit-Limit": str(nearest.quota),
        "X-RateLimit-Remaining": str(nearest.remaining),
        "X-RateLimit-Reset": str(math.ceil(time.time() + (nearest.reset_s or 0))),
    }


def _entry(code: str, detail: str) -> dict[str, str]:
    return {"title": KINDS[code].title, "detail": detail, "code": _CODES.get(code, code)}
