"""What its owner may do with an upload: create, read, delete."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from db import uploads as rows
from db.batch_models import Upload
from jobs.errors import JobError
from jobs.ids import UPLOAD_PREFIX, parse_id
from jobs.values import StoredInput


class UploadNotFoundError(JobError):
    """No such upload for this caller, or it has expired."""

    def __init__(self, public_id: str) -> None:
        super().__init__("not_found", f"There is no upload {public_id}.")


def create(
    session: Session,
    upload_id: UUID,
    stored: StoredInput,
    *,
    is_turned: bool,
    is_animated: bool,
    api_key_id: UUID,
    filename: str | None,
    retention: timedelta,
) -> Upload:
    """Name a stored photo, to be used by jobs within `retention`."""
    row = {
        "id": upload_id,
        "api_key_id": api_key_id,
        "filename": filename,
        "is_turned": is_turned,
        "is_animated": is_animated,
        **vars(stored),
    }
    rows.add(session, [row], retention=retention)
    return session.get_one(Upload, upload_id)


def find(session: Session, public_id: str, *, api_key_id: UUID) -> Upload:
    """A caller's upload. `UploadNotFoundError` for another key's as for none."""
    upload_id = parse_id(public_id, UPLOAD_PREFIX)
    upload = rows.get(session, upload_id, api_key_id=api_key_id) if upload_id else None
    if upload is None:
        raise UploadNotFoundError(public_id)
    return upload


def delete(session: Session, public_id: str, *, api_key_id: UUID) -> None:
    """Gone for its owner at once; the file goes when no job needs it any more."""
    rows.expire(session, find(session, public_id, api_key_id=api_key_id).id)
