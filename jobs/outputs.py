"""Further outputs of a job that has ended: asked for by its owner, made by a gpu worker of the stored matte."""

from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from db import jobs as rows
from db import puts
from db.base import JobStatus
from db.models import Job, Output
from jobs import service
from jobs.errors import JobError
from jobs.ids import new_id
from jobs.lifecycle import FINAL
from jobs.output_params import MAX_OUTPUTS_OF_JOB, OutputParams
from jobs.put_params import PutTarget, rows_of


def add(
    session: Session, public_id: str, params: OutputParams, *, api_key_id: UUID, put: PutTarget | None = None
) -> Output:
    """Queue one more output; the job itself stays as it is. With a PUT the output succeeds when that is done.

    `JobError`: `not_found`, `not_ready` (no final status yet), `no_matte` (it did not succeed), `files_purged`,
    `output_exists`, `too_many_outputs`.
    """
    job = service.find(session, public_id, api_key_id=api_key_id)
    rows.lock(session, job.id)  # against a purge, and a second output of this name
    session.refresh(job, ["status", "files_purged_at", "matte_id", "outputs"])
    _require_matte(job)
    if any(output.name == params.name for output in job.outputs):
        raise JobError("output_exists", f"The job has an output named {params.name}.")
    if len(job.outputs) >= MAX_OUTPUTS_OF_JOB:
        raise JobError("too_many_outputs", f"A job has at most {MAX_OUTPUTS_OF_JOB} outputs.")
    output = Output(
        id=new_id(),
        job_id=job.id,
        api_key_id=job.api_key_id,
        name=params.name,
        format=params.format,
        params=params.to_json(),
        status=JobStatus.QUEUED,
        priority=job.priority,
        due_at=func.now(),
        has_puts=put is not None,
    )
    rows.add_outputs(session, [output])
    if put is not None:
        puts.add(session, rows_of([put], job.id, job.api_key_id, job.priority, is_further=True))
    session.refresh(output)
    return output


def _require_matte(job: Job) -> None:
    if job.status not in FINAL:
        detail = f"The job is {job.status.value}; a further output is made once it has succeeded."
        raise JobError("not_ready", detail, retryable=True)
    if job.files_purged_at is not None:
        raise JobError("files_purged", "The job's files were removed at the end of their retention.")
    if job.matte_id is None:
        raise JobError("no_matte", f"The job is {job.status.value}: there is no matte to make an output of.")
