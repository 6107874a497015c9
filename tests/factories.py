"""Rows for tests, with as little said as possible."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy.orm import Session

from db.models import Job
from jobs import keys, service
from jobs.ids import new_id
from jobs.params import JobParams
from jobs.values import NewJob, StoredInput


def make_key(
    session: Session, name: str = "catalog", scopes: Collection[keys.Scope] = keys.DEFAULT_SCOPES
) -> keys.IssuedKey:
    return keys.create(session, name, scopes=scopes)


def make_job(
    session: Session,
    api_key_id: UUID,
    *,
    source: StoredInput | str | None = None,
    params: JobParams | None = None,
    webhook_url: str | None = None,
) -> Job:
    """A queued job; its photo is a name only unless `source` says otherwise."""
    job_id = new_id()
    stored = StoredInput(
        key=f"jobs/{job_id.hex}/input",
        sha256=job_id.hex * 2,
        bytes=1000,
        format="jpg",
        width=1000,
        height=1000,
    )
    new = NewJob(
        id=job_id,
        api_key_id=api_key_id,
        source=stored if source is None else source,
        params=params or JobParams(model="unet-fast"),
        filename="shoe.jpg",
        webhook_url=webhook_url,
        base_url="https://packshot.example",
    )
    return service.submit(session, new)
