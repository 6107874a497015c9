"""Errors as RFC 9457 problems. Codes and their statuses stand in `api.kinds`."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

from api.kinds import KINDS
from jobs.errors import FieldError, JobError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5

_ABOUT = "/docs/errors#"


class ProblemError(Exception):
    """A failure to be answered as a problem; raised where only HTTP is concerned, else a `JobError` is."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


def job_problem(code: str, detail: str | None) -> dict[str, Any]:
    """The error of a failed job: a problem without `status`, since no request failed."""
    kind = KINDS.get(code, KINDS["internal_error"])
    return {
        "type": _ABOUT + code,
        "title": kind.title,
        "detail": detail,
        "code": code,
        "retryable": kind.retryable,
    }


def from_job_error(error: JobError) -> ProblemError:
    """A rule's refusal. A single bad field gives the problem its own code, several share `invalid_options`."""
    code = error.errors[0].code if error.code == "invalid_options" and len(error.errors) == 1 else error.code
    return ProblemError(code, error.detail, errors=error.errors)


def render(error: ProblemError, *, instance: str, request_id: str) -> JSONResponse:
    """The problem as a response."""
    kind = KINDS[error.code]
    body: dict[str, Any] = {
        "type": _ABOUT + error.code,
        "title": kind.title,
        "status": kind.status,
        "detail": error.detail,
        "instance": instance,
        "code": error.code,
        "errors": [vars(field) for field in error.errors],
        "request_id": request_id,
        "retryable": kind.retryable,
        **error.extra,
    }
    headers = dict(error.headers)
    if kind.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="packshot"'
    if kind.retryable:
        headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    return JSONResponse(body, kind.status, headers, MEDIA_TYPE)
