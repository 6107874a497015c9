"""A body as a stream, with its limit; and the JSON in it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.requests import Request

from api.problems import ProblemError
from jobs.errors import FieldError, pointer_to
from jobs.fields import is_storable

MAX_TEXT_BYTES = 64 * 1024
"""All text of a submission together, as JSON or as form fields."""
_DISCARD_S = 5.0


async def read_json(request: Request) -> dict[str, Any]:
    """A body of one JSON object. `ProblemError` invalid_json, duplicate_field, body_too_large."""
    return load_json(await read_body(request, MAX_TEXT_BYTES))


async def read_body(request: Request, limit: int) -> bytearray:
    """The whole body. `ProblemError` body_too_large."""
    body = bytearray()
    async for chunk in limited(request, limit, "body_too_large"):
        body += chunk
    return body


def load_json(body: bytearray) -> dict[str, Any]:
    """One JSON object. `ProblemError` invalid_json, duplicate_field."""
    try:
        fields = json.loads(body.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_no_constant)
    except RecursionError as error:
        raise ProblemError("invalid_json", "The JSON is nested too deeply.") from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are such
        raise ProblemError("invalid_json", "The body is not JSON in UTF-8.") from error
    if not isinstance(fields, dict):
        raise ProblemError("invalid_json", "The body must be a JSON object.")
    return fields


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two values under one name would leave it open which one counts."""
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if not name.isascii() and not is_storable(name):
            raise ValueError(name)  # half a surrogate pair: no field is called so
        if name in fields:
            raise duplicate(name)
        fields[name] = value
    return fields


def _no_constant(name: str) -> None:
    raise ValueError(name)


def duplicate(name: str) -> ProblemError:
    """Two values under one name."""
    error = FieldError(pointer_to(name), "duplicate_field", "This field is given twice.")
    return ProblemError("duplicate_field", error.detail, errors=(error,))


async def limited(request: Request, limit: int, code: str) -> AsyncIterator[bytes]:
    """The body up to `limit` bytes; what the request declares is judged first, what arrives is counted."""
    problem = ProblemError(code, f"The body is larger than {limit} bytes.")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise problem
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise problem
        yield chunk


async def discard(request: Request, limit: int) -> None:
    """Read on for a moment: most clients look at the reply only when all is sent, and a reset would hide it.

    A client that waits for `100 Continue` has sent nothing yet and is answered at once.
    """
    if "expect" in request.headers:
        return
    size = 0
    with anyio.move_on_after(_DISCARD_S):
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                return
