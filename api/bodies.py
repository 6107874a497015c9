"""JSON bodies other than a submission's: read with a limit, judged by a model, all errors at once."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from api.json_schema import schema_of
from api.problems import ProblemError, from_job_error
from api.streams import read_json
from jobs.errors import FieldError, JobError, pointer_to

M = TypeVar("M", bound=BaseModel)


async def read_body(request: Request, model: type[M]) -> M:
    """The body as `model` (which should forbid extra fields); no body at all is an empty object.

    `ProblemError` unsupported_media_type, invalid_json, duplicate_field, body_too_large, unknown_field,
    invalid_option, and invalid_options where several fields are bad.
    """
    given = await read_json(request) if has_body(request) else {}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        errors = tuple(_field_error(problem) for problem in error.errors(include_url=False))
        detail = " ".join(field.detail for field in errors)
        raise from_job_error(JobError("invalid_options", detail, errors=errors)) from error


def describe_body(model: type[BaseModel], *, is_required: bool = True) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads this body."""
    content = {"application/json": {"schema": schema_of(model)}}
    return {"requestBody": {"required": is_required, "content": content}}


def has_body(request: Request) -> bool:
    """Whether there is a body, which must be JSON. `ProblemError` unsupported_media_type."""
    media_type, _ = parse_options_header(request.headers.get("content-type"))
    if media_type == b"application/json":
        return True
    if (
        not media_type
        and request.headers.get("content-length", "0") == "0"
        and "transfer-encoding" not in request.headers
    ):
        return False
    raise ProblemError("unsupported_media_type", "Send application/json.")


def _field_error(problem: Any) -> FieldError:
    path = [str(part) for part in problem["loc"]]
    pointer = "".join(pointer_to(part) for part in path)
    if problem["type"] == "extra_forbidden":
        return FieldError(pointer, "unknown_field", "There is no such field.")
    return FieldError(pointer, "invalid_option", f"{'.'.join(path)}: {problem['msg']}.")
