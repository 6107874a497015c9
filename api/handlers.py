"""Exceptions to problems: every way that a request can end other than well."""

from collections.abc import Callable
from typing import TypeVar

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.middleware import SECURITY_HEADERS, request_id_of
from api.problems import ProblemError, from_job_error, render
from api.removebg_errors import PREFIX, render_removebg
from db.session import DATABASE_AWAY
from jobs.errors import FieldError, JobError, pointer_to
from storage.port import StorageUnavailableError

log = structlog.get_logger(__name__)

E = TypeVar("E", bound=Exception)

_HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}


def install(app: FastAPI) -> None:
    """Register a handler for each kind of failure."""
    _register(app, ProblemError, lambda error: error)
    _register(app, JobError, from_job_error)
    _register(app, HTTPException, _from_http)
    _register(app, RequestValidationError, _from_validation)
    _register(app, StorageUnavailableError, _from_storage)
    _register(app, ClientDisconnect, lambda _: ProblemError("incomplete_body", "The body ended before it was whole."))
    for kind in DATABASE_AWAY:
        _register(app, kind, _from_database)
    _register(app, Exception, _from_anything)


def _register(app: FastAPI, kind: type[E], translate: Callable[[E], ProblemError]) -> None:
    async def handle(request: Request, error: E) -> Response:
        if isinstance(error, StorageUnavailableError):
            request.app.state.context.metrics.count_storage_error()
        request_id = request_id_of(request.scope)
        problem = translate(error)
        if request.url.path.startswith(PREFIX):
            response = render_removebg(problem, request)
        else:
            response = render(problem, instance=request.url.path, request_id=request_id)
        # The answer to an unexpected error is sent outside the middleware, which adds these to all others.
        for name, value in (*SECURITY_HEADERS.items(), ("X-Request-Id", request_id)):
            response.headers[name] = value
        return response

    app.add_exception_handler(kind, handle)  # type: ignore[arg-type]


def _from_http(error: HTTPException) -> ProblemError:
    code = _HTTP_CODES.get(error.status_code, "invalid_request")
    details = {404: "There is no such page.", 405: "This page does not answer to this method."}
    return ProblemError(code, details.get(error.status_code, error.detail), headers=error.headers)


def _from_validation(error: RequestValidationError) -> ProblemError:
    """Bad path or query values; bodies are read and judged in `api.submission`."""
    errors = tuple(
        FieldError(pointer_to(found["loc"][-1]), "invalid_request", f"{found['loc'][-1]}: {found['msg']}.")
        for found in error.errors()
    )
    return ProblemError("invalid_request", " ".join(field.detail for field in errors), errors=errors)


def _from_storage(error: StorageUnavailableError) -> ProblemError:
    log.warning("storage_unavailable", error=str(error))
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    detail = "The file store can't be reached or is full; try again."
    return ProblemError("storage_unavailable", detail, headers=headers)


def _from_database(error: Exception) -> ProblemError:
    log.warning("database_unavailable", error=type(error).__name__)
    return ProblemError("database_unavailable", "The database can't be reached; try again.")


def _from_anything(error: Exception) -> ProblemError:
    """The server logs the traceback; the caller gets the request's id to ask about."""
    log.error("unexpected_error", error=type(error).__name__)
    return ProblemError("internal_error", "An unexpected error; its request_id helps to find it in the logs.")
