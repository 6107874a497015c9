"""Ask for a further output of a job that has ended."""

import hashlib

from fastapi import APIRouter, BackgroundTasks, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api.auth import Writer
from api.bodies import describe_body, read_body
from api.context import InContext
from api.idempotency import Answer, IdempotencyKey, commit_once, look, make_ticket
from api.intake import POLL_S
from api.openapi import problems
from api.problems import from_job_error
from api.routes.jobs import JobId
from api.schemas import OutputObject
from api.views import output_object
from dispatch.names import Bell
from jobs import outputs
from jobs.errors import JobError
from jobs.fields import OutputCreate
from jobs.idempotency import Reply, Ticket
from jobs.output_params import OutputParams, parse_output
from jobs.put_params import PutTarget, parse_put

router = APIRouter(prefix="/v1/jobs", tags=["files"])


@router.post(
    "/{job_id}/outputs",
    status_code=202,
    response_model=OutputObject,
    responses=problems(400, 401, 403, 404, 409, 410, 413, 415, 422, 503),
    openapi_extra=describe_body(OutputCreate),
    summary="Ask for a further output",
)
async def add_output(
    request: Request,
    context: InContext,
    caller: Writer,
    job_id: JobId,
    background: BackgroundTasks,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Queue another file of a job that has succeeded.

    It is made of the stored matte, without another look by the network; the job's status, verdict and other outputs
    stay as they are. The job shows it among its `outputs` with a `status` of its own.
    """
    given = await read_body(request, OutputCreate)
    fingerprint = hashlib.sha256(given.model_dump_json().encode()).hexdigest()
    ticket = make_ticket(request, caller, idempotency_key, fingerprint)
    job_url = f"{context.base_url(request)}/v1/jobs/{job_id}"

    def make(session: Session, params: OutputParams, put: PutTarget | None) -> Reply:
        output = outputs.add(session, job_id, params, api_key_id=caller, put=put)
        made = output_object(output, job_url)
        headers = {"Location": made.url, "Retry-After": str(POLL_S)}
        return Reply(202, headers, made.model_dump_json(), output.job_id)

    def answer_once(ticket: Ticket | None) -> Answer:
        if (before := look(context.sessions, ticket)) is not None:
            return before
        params, errors = parse_output(given.model_dump(), max_megapixels=context.settings.max_megapixels)
        put, bad_puts = parse_put(given.model_dump(), params.name, context.rules.egress)
        errors += bad_puts
        if errors:
            detail = " ".join(error.detail for error in errors)
            raise from_job_error(JobError("invalid_options", detail, errors=tuple(errors)))
        return commit_once(context.sessions, ticket, lambda session: make(session, params, put))

    answer = await run_in_threadpool(answer_once, ticket)
    response = answer.response()
    if not answer.is_replay:
        background.add_task(context.doorbell.ring, Bell.GPU)
        response.background = background
    return response
