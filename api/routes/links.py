"""Make links to a job's files."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api.auth import Reader
from api.bodies import describe_body, read_body
from api.context import InContext
from api.openapi import problems
from api.problems import ProblemError
from api.routes.jobs import JobId
from api.schemas import LinkedOutput, Links
from db.base import JobStatus
from jobs import links, service
from jobs.durations import Duration, parse_duration

router = APIRouter(prefix="/v1/jobs", tags=["files"])


class LinkCreate(BaseModel):
    """How long links are good."""

    model_config = ConfigDict(extra="forbid", strict=True)

    expires_in: Duration | None = Field(
        None, description="Seconds, or `15m`, `24h`; one hour by default, 7 days at most.", examples=["24h"]
    )


@router.post(
    "/{job_id}/links",
    responses=problems(400, 401, 403, 404, 413, 415, 422, 429, 503),
    openapi_extra=describe_body(LinkCreate, is_required=False),
    summary="Make download links",
)
async def make_links(request: Request, context: InContext, caller: Reader, job_id: JobId) -> Links:
    """Links to every file that the job has now. Whoever holds one can download that file until it expires.

    They end sooner when the job is deleted, its files are purged, or the key is revoked.
    """
    given = await read_body(request, LinkCreate)
    expires_at = datetime.now(UTC) + _life(given.expires_in)
    url = f"{context.base_url(request)}/v1/jobs/{job_id}"

    def make() -> Links:
        with context.sessions.begin() as session:
            job = service.find(session, job_id, api_key_id=caller)
            signer = links.load_signer(session)
        matte = None
        if job.matte is not None and job.files_purged_at is None:
            matte = f"{url}/matte?{signer.sign(caller, links.matte_subject(job_id), expires_at)}"
        made = [output.name for output in job.outputs if output.status is JobStatus.SUCCEEDED]
        outputs = [
            LinkedOutput(
                name=name,
                url=f"{url}/outputs/{name}?{signer.sign(caller, links.output_subject(job_id, name), expires_at)}",
            )
            for name in made
        ]
        return Links(expires_at=expires_at, outputs=outputs, matte=matte)

    return await run_in_threadpool(make)


def _life(given: str | int | None) -> timedelta:
    """How long; `ProblemError` `invalid_option`."""
    try:
        life = links.DEFAULT_LIFE if given is None else parse_duration(given)
    except ValueError as error:
        raise ProblemError("invalid_option", f"expires_in: {error}.") from error
    if not timedelta(0) < life <= links.MAX_LIFE:
        raise ProblemError("invalid_option", f"expires_in: 1 second to {links.MAX_LIFE.days} days.")
    return life
