"""Who may download a file: a key that may read jobs, or whoever holds a link to that very file."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request

from api.auth import Bearer, KeyHeader, authenticate, require
from api.context import InContext
from jobs import links
from jobs.keys import Scope


@dataclass(frozen=True)
class Download:
    """A download that is allowed: of files of this key, for so long; None where no link says how long."""

    api_key_id: UUID
    left: timedelta | None = None


def file_reader(
    request: Request,
    context: InContext,
    bearer: Bearer,
    header: KeyHeader,
    expires: Annotated[int | None, Query(description="Of a signed link.", ge=0, lt=1 << 40)] = None,
    signature: Annotated[str | None, Query(description="Of a signed link.", max_length=128)] = None,
) -> Download:
    """The key whose file is asked for: by its own caller, or by whoever holds a link.

    Without a link as `api.auth`; with one `JobError` `invalid_link`, `link_expired`.
    """
    if signature is None:
        return Download(require(authenticate(request, context, bearer, header), Scope.JOBS_READ))
    path = request.path_params
    job_id = str(path["job_id"])
    subject = links.output_subject(job_id, path["name"]) if "name" in path else links.matte_subject(job_id)
    with context.sessions.begin() as session:
        owner = links.owner(session, job_id)
        now = datetime.now(UTC)
        links.load_signer(session).check(owner, subject, expires or 0, signature, now=now)
    request.state.api_key_id = str(owner)  # for the access log
    return Download(owner, timedelta(seconds=(expires or 0) - now.timestamp()))


FileReader = Annotated[Download, Depends(file_reader)]
