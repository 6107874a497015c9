"""Who may download a file: a key that may read jobs, or whoever holds a link to that very file."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request

from api.auth import Bearer, KeyHeader, authenticate, require
from api.context import InContext
from jobs import links
from jobs.keys import Scope


def file_reader(
    request: Request,
    context: InContext,
    bearer: Bearer,
    header: KeyHeader,
    expires: Annotated[int | None, Query(description="Of a signed link.", ge=0, lt=1 << 40)] = None,
    signature: Annotated[str | None, Query(description="Of a signed link.", max_length=128)] = None,
) -> UUID:
    """The id of the key whose file is asked for: its own caller, or whoever holds a link.

    Without a link as `api.auth`; with one `JobError` `invalid_link`, `link_expired`.
    """
    if signature is None:
        return require(authenticate(request, context, bearer, header), Scope.JOBS_READ)
    path = request.path_params
    job_id = str(path["job_id"])
    subject = links.output_subject(job_id, path["name"]) if "name" in path else links.matte_subject(job_id)
    with context.sessions.begin() as session:
        owner = links.owner(session, job_id)
        links.load_signer(session).check(owner, subject, expires or 0, signature, now=datetime.now(UTC))
    request.state.api_key_id = str(owner)  # for the access log
    return owner


FileReader = Annotated[UUID, Depends(file_reader)]
