"""Rows to the objects of replies."""

from urllib.parse import urlsplit

from api.problems import job_problem
from api.schemas import File, JobInput, JobObject, JobProblem, JobUrls, OutputObject, OutputOptions, Params, PutObject
from db.models import Job, Output
from jobs.ids import BATCH_PREFIX, job_public_id
from jobs.lanes import Lane
from jobs.urls import bare_url


def job_url(job: Job, base_url: str) -> str:
    """Where the job is read."""
    return f"{base_url}/v1/jobs/{job_public_id(job.id)}"


def job_object(job: Job, *, base_url: str) -> JobObject:
    """A job with outputs and matte loaded."""
    url = job_url(job, base_url)
    return JobObject(
        id=job_public_id(job.id),
        status=job.status,
        priority=Lane(job.priority).word,
        verdict=job.verdict,
        reasons=job.reasons,
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        expires_at=job.expires_at,
        deadline=job.deadline_at,
        input=JobInput(
            filename=job.filename,
            url=shown_url(job.source_url),
            sha256=job.input_sha256,
            bytes=job.input_bytes,
            format=job.input_format,
            width=job.input_width,
            height=job.input_height,
        ),
        params=Params(**job.params),
        outputs=[output_object(output, url) for output in job.outputs],
        matte=_matte(job, url),
        error=_problem(job),
        metrics=job.metrics,
        model=job.model_version,
        runtime=job.runtime,
        attempt=job.attempt,
        labels=job.labels,
        batch_id=BATCH_PREFIX + job.batch_id.hex if job.batch_id else None,
        line=job.line,
        custom_id=job.custom_id,
        urls=JobUrls(self=url, cancel=f"{url}/cancel", events=f"{url}/events"),
    )


def output_object(output: Output, job_url: str) -> OutputObject:
    """An output as it stands."""
    return OutputObject(
        name=output.name,
        status=output.status,
        url=f"{job_url}/outputs/{output.name}",
        sha256=output.sha256,
        width=output.width,
        height=output.height,
        bytes=output.bytes,
        format=output.format,
        quality=output.quality,
        upscaled=output.upscaled,
        bbox_xyxy_px=output.bbox_xyxy_px,
        params=OutputOptions(**output.params),
        error=_problem(output),
        put=None if output.put is None else PutObject(**output.put),
        created_at=output.created_at,
        completed_at=output.completed_at,
    )


def shown_url(url: str | None) -> str | None:
    """A photo's URL without what may open it to whoever reads the job: user, password and query."""
    if url is None:
        return None
    return bare_url(url) + ("?[redacted]" if urlsplit(url).query else "")


def _problem(row: Job | Output) -> JobProblem | None:
    return JobProblem(**job_problem(row.error_code, row.error_detail)) if row.error_code else None


def _matte(job: Job, url: str) -> File | None:
    """The matte, while this job's files live: another job's claim on a shared matte gives this one nothing."""
    if job.matte is None or job.completed_at is None or job.files_purged_at is not None:
        return None
    return File(
        url=f"{url}/matte",
        sha256=job.matte.sha256,
        width=job.matte.width,
        height=job.matte.height,
        bytes=job.matte.bytes,
        format="png",
    )
