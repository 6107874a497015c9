"""What can go wrong, as exceptions. All of them are `PackshotError`."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from packshot_client.models import Job


class PackshotError(Exception):
    """Anything that this client raises by itself. `attempts` is how often the request was sent."""

    attempts: int = 1


class NoAnswerError(PackshotError):
    """The service could not be reached, or broke off, on every attempt."""


class UnexpectedReplyError(PackshotError):
    """Something answered that is not Packshot, or not a version that this client understands."""


class WaitTimeoutError(PackshotError):
    """A job or a batch has not ended in the time given. It goes on; wait again, or cancel it."""


class ChecksumError(PackshotError):
    """A downloaded file is not the one that the service stored; nothing was kept."""


class WebhookVerificationError(PackshotError):
    """A webhook that is not to be trusted: a wrong signature, or too old, or not a webhook at all."""


@dataclass(frozen=True)
class FieldProblem:
    """One bad field. `pointer` is a JSON pointer, such as `/background`."""

    pointer: str
    code: str
    detail: str


@dataclass(frozen=True)
class Problem:
    """An error reply (RFC 9457). `code` is stable; the service's `/docs/errors` tells cause and fix of each."""

    status: int
    code: str
    title: str
    detail: str
    errors: tuple[FieldProblem, ...] = ()
    request_id: str | None = None
    retryable: bool = False
    retry_after_s: float | None = None


class ApiError(PackshotError):
    """The service refused. Its subclasses are by HTTP status; what exactly it was says `code`."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        asked = f" (request {problem.request_id})" if problem.request_id else ""
        super().__init__(f"{problem.status} {problem.code}: {problem.detail or problem.title}{asked}")

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def code(self) -> str:
        """The stable code, such as `invalid_file_type`; `http_502` where a proxy answered in place of the service."""
        return self.problem.code

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later. The client has tried again already."""
        return self.problem.retryable

    @property
    def request_id(self) -> str | None:
        """Names the request in the service's logs."""
        return self.problem.request_id


class AuthenticationError(ApiError):
    """401: the key is unknown, expired or missing."""


class PermissionDeniedError(ApiError):
    """403: the key lacks a scope."""


class NotFoundError(ApiError):
    """404: there is no such thing, or it is another key's."""


class ConflictError(ApiError):
    """409: not in this state."""


class GoneError(ApiError):
    """410: it was there; the files were removed at the end of their retention."""


class InvalidRequestError(ApiError):
    """400, 413, 415, 422: the photo, an option or the request is not acceptable; `problem.errors` names the fields."""


class RateLimitError(ApiError):
    """429: too much at once; `problem.retry_after_s` says when to come back."""


class ServiceError(ApiError):
    """5xx: the service, or what stands before it, could not."""


class JobFailedError(PackshotError):
    """A job ended without a result: `failed`, `canceled` or `expired`. `job.error` says why."""

    def __init__(self, job: "Job") -> None:
        self.job = job
        why = f": {job.error.code}: {job.error.detail or job.error.title}" if job.error else ""
        super().__init__(f"{job.id} {job.status}{why}")


_BY_STATUS: Mapping[int, type[ApiError]] = {
    HTTPStatus.UNAUTHORIZED: AuthenticationError,
    HTTPStatus.FORBIDDEN: PermissionDeniedError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.GONE: GoneError,
    HTTPStatus.BAD_REQUEST: InvalidRequestError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: InvalidRequestError,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: InvalidRequestError,
    HTTPStatus.UNPROCESSABLE_ENTITY: InvalidRequestError,
    HTTPStatus.TOO_MANY_REQUESTS: RateLimitError,
}


def error_of(problem: Problem) -> ApiError:
    """The exception for a problem."""
    kind = ServiceError if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR else ApiError
    return _BY_STATUS.get(problem.status, kind)(problem)


def field_problems(given: Any) -> tuple[FieldProblem, ...]:
    """The `errors` of a problem; what has another form is left out."""
    entries = given if isinstance(given, list) else []
    return tuple(
        FieldProblem(str(entry.get("pointer", "")), str(entry.get("code", "")), str(entry.get("detail", "")))
        for entry in entries
        if isinstance(entry, dict)
    )
