"""Bodies as clients of remove.bg send them: a form, URL-encoded text or JSON; the photo as file, base64 or URL."""

from typing import Any
from urllib.parse import parse_qsl

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from api.base64_parts import Base64Part
from api.problems import ProblemError
from api.streams import MAX_TEXT_BYTES, duplicate, load_json, read_body
from api.uploads import FILE_FIELD, Form, new_upload, read_form

BASE64_FIELD = "image_file_b64"
_UNREAD = frozenset({"bg_image_file"})
_MAX_FIELDS = 64


async def read_foreign_form(request: Request, *, max_file_bytes: int) -> Form:
    """The fields as they came, and the photo. A photo in base64 inside JSON or URL-encoded text is held in memory.

    `ProblemError` as `api.uploads.read_form`; failed_to_read_image for what is no base64; multiple_sources.
    """
    media_type, _ = parse_options_header(request.headers.get("content-type"))
    if media_type == b"multipart/form-data":
        return await read_form(request, max_file_bytes=max_file_bytes, base64_field=BASE64_FIELD, unread=_UNREAD)
    load = {b"application/json": load_json, b"application/x-www-form-urlencoded": _load_query}.get(media_type)
    if load is None:
        detail = "Send multipart/form-data, application/x-www-form-urlencoded or application/json."
        raise ProblemError("unsupported_media_type", detail)
    body = await read_body(request, 2 * max_file_bytes + MAX_TEXT_BYTES)  # percent signs and all
    fields = await run_in_threadpool(load, body)
    form = Form(fields)
    if fields.get(FILE_FIELD):
        raise ProblemError("missing_source", f"{FILE_FIELD} is a part of a multipart form.")
    photo = fields.pop(BASE64_FIELD, None)
    if photo:
        await run_in_threadpool(_take, form, photo, max_file_bytes)
    return form


def _load_query(body: bytearray) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", encoding="utf-8", max_num_fields=_MAX_FIELDS
        )
    except ValueError as error:  # UnicodeDecodeError is one
        raise ProblemError("invalid_multipart", "The form is not URL-encoded text.") from error
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise duplicate(name)
        fields[name] = value
    return fields


def _take(form: Form, text: object, max_file_bytes: int) -> None:
    if not isinstance(text, str) or not text.isascii():
        raise ProblemError("failed_to_read_image", f"{BASE64_FIELD} is not base64.")
    part = Base64Part()
    photo = part.feed(text.encode("ascii")) + part.end()
    if len(photo) > max_file_bytes:
        raise ProblemError("file_too_large", f"At most {max_file_bytes} bytes are accepted.")
    form.upload = new_upload()
    form.upload.size_bytes = len(photo)
    form.upload.take(photo)
