"""From a checked submission to a committed row: the photo first, then the row, and no transaction open meanwhile."""

from collections.abc import Callable
from typing import BinaryIO, cast

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from api.context import Context
from api.idempotency import Answer, commit_once, look
from api.problems import ProblemError
from api.submission import parse
from api.uploads import Form, Upload
from api.views import job_object, job_url
from db.models import Job
from jobs import service
from jobs.idempotency import Reply, Ticket
from jobs.ids import job_public_id, new_id
from jobs.keys import Caller
from jobs.lifecycle import FINAL
from jobs.params import JobParams
from jobs.values import StoredInput
from storage.keys import input_key
from storage.port import Storage, StorageUnavailableError
from vision.codec.header import ImageHeader, Limits, probe
from vision.errors import ImageError

log = structlog.get_logger(__name__)

POLL_S = 1
"""When it pays to look again at a job that has not ended."""


def accept(
    context: Context,
    form: Form,
    *,
    caller: Caller,
    base_url: str,
    ticket: Ticket | None,
    admit: Callable[[float], None],
) -> Answer:
    """Judge, store and commit, or answer as the same request was answered before.

    `admit` is asked with the photo's megapixels (0 while it is still to be fetched) and raises to refuse it.
    `ProblemError` for what is refused, `JobError` for a ticket that is no good, `StorageUnavailableError`, database
    errors. A photo without a row is removed again, except where the commit's outcome is unknown: then the row may
    exist, and the sweep of orphans decides once it can be asked for.
    """
    if (before := look(context.sessions, ticket)) is not None:
        return before
    submission = parse(form, context)
    longest = caller.files_retention or context.settings.files_retention
    retention = service.retention(submission.schedule.retention, longest=longest)
    job_id = new_id()
    stored = None
    if submission.source_url is None and form.upload is not None:
        stored, _ = store_photo(context, form.upload, input_key(job_id), admit, submission.params)
    else:
        admit(0.0)

    def make(session: Session) -> Reply:
        new = submission.to_new_job(job_id, caller.id, stored, base_url, retention)
        if submission.schedule.reuse and (job := service.like(session, new)) is not None:
            return _reply(job, 200)
        return _reply(service.submit(session, new), 202)

    named = False
    try:
        answer = commit_once(context.sessions, ticket, make)
        named = answer.reply.subject_id == job_id
    except SQLAlchemyError as error:
        named = isinstance(error, DBAPIError) and error.connection_invalidated
        raise
    finally:
        if stored is not None and not named:
            remove_files(context.storage, (stored.key,))
    if named:
        log.info("job_submitted", job_id=job_public_id(job_id), source="url" if stored is None else "upload")
    return answer


def _reply(job: Job, status: int) -> Reply:
    """The job as it was when it was committed: 202 for a new one, 200 for one that was there."""
    headers = {"Location": job_url(job, job.base_url)}
    if job.status not in FINAL:
        headers["Retry-After"] = str(POLL_S)
    return Reply(status, headers, job_object(job, base_url=job.base_url).model_dump_json(), job.id)


def store_photo(
    context: Context, upload: Upload, key: str, admit: Callable[[float], None], params: JobParams
) -> tuple[StoredInput, ImageHeader]:
    """Check the header and the options by it, ask `admit` for its megapixels, store the file.

    `ProblemError`, `JobError`, `StorageUnavailableError`.
    """
    settings = context.settings
    file = cast("BinaryIO", upload.file)
    try:
        limits = Limits(max_megapixels=settings.max_megapixels, max_bytes=settings.max_upload_bytes)
        header = probe(file, limits, animated=params.animated)
        params.require_regions(header.upright_hw)
    except ImageError as error:
        raise ProblemError(error.code, error.detail) from error
    admit(header.width_px * header.height_px / 1e6)
    file.seek(0)
    context.storage.put(key, file)
    context.metrics.count_upload(upload.size_bytes)
    stored = StoredInput(
        key=key,
        sha256=upload.digest.hexdigest(),
        bytes=upload.size_bytes,
        format=header.format,
        width=header.width_px,
        height=header.height_px,
    )
    return stored, header


def remove_files(storage: Storage, keys: tuple[str, ...]) -> None:
    """Remove files that no row names any more. A store that is away keeps no caller waiting: the sweep returns."""
    for key in keys:
        try:
            storage.delete(key)
        except StorageUnavailableError as error:
            log.warning("file_not_removed", key=key, error=str(error))
