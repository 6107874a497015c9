"""Rows of batches and uploads to the objects of replies."""

from collections.abc import Sequence

from api.batch_schemas import (
    BadLineObject,
    BatchObject,
    BatchUrls,
    LineReport,
    RequestCounts,
    UploadObject,
)
from api.problems import job_problem
from api.schemas import FieldProblem, JobProblem
from db.batch_models import BadLine, Batch, Upload
from jobs import batches
from jobs.idempotency import Reply
from jobs.ids import UPLOAD_PREFIX
from jobs.progress import estimate, progress

POLL_S = 3
"""When it pays to look again at a batch: its jobs are counted about as often."""


def batch_object(batch: Batch, *, base_url: str, bad_lines: Sequence[BadLine] = ()) -> BatchObject:
    """A batch with the first of its bad lines."""
    public_id = batches.public_id(batch.id)
    url = f"{base_url}/v1/batches/{public_id}"
    ended = batch.succeeded + batch.failed + batch.canceled
    is_final = batch.completed_at is not None
    at = None if is_final else batch.counted_at
    return BatchObject(
        id=public_id,
        status=batch.status,
        retry_of=batches.public_id(batch.retry_of) if batch.retry_of else None,
        source=batch.source,
        filename=batch.filename,
        created_at=batch.created_at,
        started_at=batch.started_at,
        completed_at=batch.completed_at,
        deadline_at=batch.deadline_at,
        validation=LineReport(
            lines=batch.lines,
            valid=batch.lines - batch.invalid,
            invalid=batch.invalid,
            errors=[bad_line_object(line) for line in bad_lines],
        ),
        request_counts=RequestCounts(
            total=batch.total, completed=batch.succeeded, failed=batch.failed, canceled=batch.canceled
        ),
        verdicts=batch.verdicts,
        progress=1.0 if is_final else progress(ended, batch.total),
        rate_per_s=batch.rate_per_s,
        estimated_completion_at=estimate(batch.total - ended, batch.rate_per_s, at),
        counted_at=batch.counted_at,
        error=JobProblem(**job_problem(batch.error_code, batch.error_detail)) if batch.error_code else None,
        options=batch.options,
        item_webhooks=batch.item_webhooks,
        skip_invalid=batch.skip_invalid,
        labels=batch.labels,
        urls=BatchUrls(
            self=url,
            cancel=f"{url}/cancel",
            retry=f"{url}/retry",
            items=f"{url}/items",
            events=f"{url}/events",
            results=f"{url}/results.zip",
            output=f"{url}/output.jsonl",
            errors=f"{url}/errors.jsonl",
        ),
    )


def bad_line_object(line: BadLine) -> BadLineObject:
    """A bad line with all that is wrong with it."""
    return BadLineObject(
        line=line.line, custom_id=line.custom_id, errors=[FieldProblem(**error) for error in line.errors]
    )


def batch_reply(batch: Batch) -> Reply:
    """202, and the batch as it was when it was committed."""
    made = batch_object(batch, base_url=batch.base_url)
    return Reply(202, {"Location": made.urls.self, "Retry-After": str(POLL_S)}, made.model_dump_json(), batch.id)


def upload_object(upload: Upload) -> UploadObject:
    """An upload."""
    return UploadObject(
        id=UPLOAD_PREFIX + upload.id.hex,
        filename=upload.filename,
        sha256=upload.sha256,
        bytes=upload.bytes,
        format=upload.format,
        width=upload.width,
        height=upload.height,
        created_at=upload.created_at,
        expires_at=upload.expires_at,
    )
