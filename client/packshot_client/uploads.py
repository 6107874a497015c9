"""Calls about photos stored ahead of the jobs that use them."""

from packshot_client.calls import fetch, keyed, segment
from packshot_client.jobs import delete_once
from packshot_client.models import Upload
from packshot_client.steps import FileSource, Plan, Request, file_part


def create(photo: FileSource, *, filename: str | None = None, idempotency_key: str | None = None) -> Plan[Upload]:
    """Store a photo; a line of a batch names it as `upload_id`."""
    part = file_part(photo, field="image_file", filename=filename)
    return (yield from fetch(Upload, Request("POST", "/v1/uploads", headers=keyed(idempotency_key), file=part)))


def get(upload_id: str) -> Plan[Upload]:
    """The upload, until it expires."""
    return (yield from fetch(Upload, Request("GET", _path(upload_id))))


def delete(upload: Upload | str) -> Plan[None]:
    """No further job may use it."""
    yield from delete_once(_path(upload))


def _path(upload: Upload | str) -> str:
    return f"/v1/uploads/{segment(upload if isinstance(upload, str) else upload.id)}"
