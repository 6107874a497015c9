"""What FastAPI can't read from the routes: the two bodies of a submission and the problems."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from api.json_schema import schema_of
from api.kinds import KINDS
from api.problems import MEDIA_TYPE
from api.schemas import Problem
from api.uploads import FILE_FIELD
from jobs.fields import JobCreate
from jobs.schedule import ScheduleCreate
from vision.codec.signature import READ_HERE
from vision.formats import MEDIA_TYPES

DESCRIPTION = """Product photo in, cutout out.

Submit a photo, read the job until it has ended (or give it a `webhook_url`), download its outputs. Send the API key as
`Authorization: Bearer pk_live_...`. Errors are RFC 9457 problems; `code` is stable.
"""

FILE_RESPONSE: dict[str, Any] = {
    "description": "The file.",
    "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in sorted(set(MEDIA_TYPES.values()))},
    "headers": {
        "ETag": {"description": "sha256 of the bytes.", "schema": {"type": "string"}},
        "Content-Disposition": {"description": "The photo's name, made safe.", "schema": {"type": "string"}},
    },
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, each with the codes that can come with it. Where a key is needed, 429 too."""
    if HTTPStatus.UNAUTHORIZED in statuses:
        statuses = tuple(sorted({*statuses, HTTPStatus.TOO_MANY_REQUESTS}))
    return {
        status: {
            "model": Problem,
            "description": f"{HTTPStatus(status).phrase}: "
            + ", ".join(f"`{code}`" for code, kind in KINDS.items() if kind.status == status),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def describe(app: FastAPI) -> None:
    """Give the application a schema in which errors are problems and nothing else."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        schema = generate()
        for methods in schema["paths"].values():
            for operation in methods.values():
                operation["responses"] = _tidy(operation["responses"])
        for unused in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(unused, None)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _tidy(responses: dict[str, Any]) -> dict[str, Any]:
    """FastAPI adds a JSON form to every model, and an error form of its own that no route here replies with."""
    for response in responses.values():
        if MEDIA_TYPE in response.get("content", {}):
            response["content"].pop("application/json", None)
    default = {"$ref": "#/components/schemas/HTTPValidationError"}
    return {
        status: response
        for status, response in responses.items()
        if response.get("content", {}).get("application/json", {}).get("schema") != default
    }


def _submit_body() -> dict[str, Any]:
    fields = schema_of(JobCreate)
    fields["properties"] |= schema_of(ScheduleCreate)["properties"]
    by_url = {**fields, "required": ["image_url"]}
    file = {"type": "string", "format": "binary", "description": f"The photo: {READ_HERE}."}
    labels = {"type": "string", "description": "The labels as a JSON object.", "examples": ['{"sku": "MUG-1"}']}
    outputs = {"type": "string", "description": "The outputs as a JSON list.", "examples": ['[{"format": "jpg"}]']}
    texts = {"labels": labels, "outputs": outputs}
    in_form = {**fields, "properties": {FILE_FIELD: file, **fields["properties"], **texts}}
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {**in_form, "title": "JobForm"}},
            "application/json": {
                "schema": by_url,
                "example": {"image_url": "https://shop.example/photos/mug.jpg", "background": "white"},
            },
        },
    }


SUBMIT_BODY = _submit_body()
