"""For clients that know only one call, photo in and cutout out: a job like any other, and a wait for its end.

The wait holds neither thread nor connection (`api.waiting`). A job that nobody waits for any more is canceled.
"""

from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, BinaryIO, cast
from uuid import UUID

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api.context import Context
from api.intake import accept
from api.problems import ProblemError
from api.uploads import Form
from api.waiting import peek_in, settle
from db.base import JobStatus
from db.models import Job, Output
from dispatch.names import Bell
from jobs import service
from jobs.errors import JobNotCancelableError
from jobs.ids import job_public_id
from jobs.keys import Caller
from jobs.lanes import Lane
from storage.port import ObjectNotFoundError


@dataclass(frozen=True)
class Result:
    """What a job made, and its file."""

    job_id: UUID
    output: Output
    file: BinaryIO


async def run(request: Request, context: Context, caller: Caller, form: Form, fields: dict[str, Any]) -> Result:
    """Submit the form's photo with these fields instead of its own, wait, and open the only output.

    `ProblemError` for what is refused, the job's own error where it failed, `took_too_long`.
    """
    try:
        context.watcher.require_room()
        submission = Form({**fields, "priority": Lane.INTERACTIVE.word}, form.upload)  # somebody waits
        base_url = context.base_url(request)
        admit = partial(context.limiter.admit_photo, request, caller)
        answer = await run_in_threadpool(
            accept, context, submission, caller=caller, base_url=base_url, ticket=None, admit=admit
        )
    finally:
        form.close()
    job_id = cast("UUID", answer.reply.subject_id)
    await run_in_threadpool(context.doorbell.ring, Bell.GPU if "image_url" not in fields else Bell.IO)
    await settle(
        request,
        context.watcher,
        job_id,
        peek=partial(peek_in, context, job_id, caller.id),
        is_enough=attrgetter("is_final"),
        wait_s=context.settings.drop_in_wait_s,
    )
    return await run_in_threadpool(_open, context, caller.id, job_id)


def _open(context: Context, caller: UUID, job_id: UUID) -> Result:
    job = _ended(context, caller, job_id)
    if job.status is JobStatus.FAILED:
        raise ProblemError(job.error_code or "internal_error", job.error_detail or "The job failed.")
    if job.status is not JobStatus.SUCCEEDED:
        raise ProblemError("took_too_long", "The photo was not done in time; nothing is left of the request.")
    [output] = job.outputs
    try:
        return Result(job_id, output, context.storage.open(output.key or ""))
    except ObjectNotFoundError as error:
        raise ProblemError("files_purged", "The file was removed before it was sent.") from error


def _ended(context: Context, caller: UUID, job_id: UUID) -> Job:
    """The job, canceled where it has not ended; one that ended just now stays as it is."""
    public_id = job_public_id(job_id)
    with context.sessions.begin() as session:
        try:
            return service.cancel(session, public_id, api_key_id=caller)
        except JobNotCancelableError:
            return service.find(session, public_id, api_key_id=caller)
