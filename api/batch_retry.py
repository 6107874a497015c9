"""Run a batch again: only what failed, or all of it, with the same options or with others."""

from collections.abc import Callable, Iterator
from tempfile import TemporaryFile
from typing import Annotated, Any, BinaryIO
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.batch_intake import OF_THE_BATCH, line_terms, puts_for_all, store_and_commit
from api.context import Context
from api.idempotency import Answer, look
from api.problems import ProblemError, from_job_error
from api.scratch import scratch_disk
from config.tracing import CURRENT
from db import uploads
from db.batch_models import Batch, LineSource, Upload
from jobs import batches, rerun
from jobs.batches import NewBatch
from jobs.errors import FieldError, JobError, pointer_to
from jobs.fields import Judged
from jobs.idempotency import Ticket
from jobs.ids import new_id
from jobs.rerun import Only
from jobs.schedule import Schedule
from storage.keys import manifest_key
from storage.port import ObjectNotFoundError

_PAGE = 500


class BatchRetry(BaseModel):
    """What is run again. Further fields are options of jobs, which go before those of the batch and of its lines."""

    model_config = ConfigDict(extra="allow", strict=True)

    only: Annotated[Only, Field(strict=False)] = Field(
        default=Only.FAILED,
        description="`failed`: jobs that failed or ran out of time; `unfinished`: all that did not succeed; `all`.",
    )
    skip_invalid: bool | None = Field(None, description="As for a new batch; the first run's by default.")
    item_webhooks: bool | None = Field(None, description="As for a new batch; the first run's by default.")


def parse_retry(fields: dict[str, Any], context: Context, *, api_key_id: UUID) -> tuple[BatchRetry, Judged, Schedule]:
    """Judge the fields of a retry. `ProblemError`."""
    try:
        asked = BatchRetry.model_validate(fields)
    except ValidationError as error:
        errors = [
            FieldError(pointer_to(found["loc"][0]), "invalid_option", f"{found['loc'][0]}: {found['msg']}.")
            for found in error.errors(include_url=False)
        ]
        raise _refusal(errors) from error
    judged, schedule, found = line_terms(context, api_key_id).judge(asked.model_extra or {})
    errors = [error for error in found if error.pointer != "/image_url"]
    if judged.names_url:
        errors.append(FieldError("/image_url", "unknown_field", "The photos are those of the first run."))
    errors += puts_for_all(judged)
    if errors:
        raise _refusal(errors)
    return asked, judged, schedule


def _refusal(errors: list[FieldError]) -> ProblemError:
    detail = " ".join(error.detail for error in errors)
    return from_job_error(JobError("invalid_options", detail, errors=tuple(errors)))


def accept_retry(
    context: Context,
    given_id: str,
    fields: dict[str, Any],
    *,
    api_key_id: UUID,
    base_url: str,
    ticket: Ticket | None,
) -> Answer:
    """Write the new manifest and commit the new batch. `ProblemError`, `JobError`, `StorageUnavailableError`."""
    if (before := look(context.sessions, ticket)) is not None:
        return before
    asked, judged, schedule = parse_retry(fields, context, api_key_id=api_key_id)
    with context.sessions.begin() as session:
        batch = batches.find(session, given_id, api_key_id=api_key_id)
        if batch.status not in batches.FINAL:
            raise batches.not_ended(batch)
        is_chosen = rerun.chosen_lines(session, batch, asked.only)
    extra = asked.model_extra or {}
    options = {name: value for name, value in extra.items() if name not in OF_THE_BATCH}
    with scratch_disk(), TemporaryFile() as manifest:
        lines = _write(context, batch, is_chosen, options, manifest)
        if not lines:
            raise JobError("nothing_to_retry", f"No job of the batch is {asked.only.value}.")
        batch_id = new_id()
        new = NewBatch(
            id=batch_id,
            api_key_id=api_key_id,
            source=LineSource.JSONL,
            filename=batch.filename,
            manifest_key=manifest_key(batch_id),
            manifest_bytes=manifest.tell(),
            options={**batch.options, **options},
            labels=judged.labels if "labels" in extra else batch.labels,
            webhook_url=judged.webhook_url if "webhook_url" in extra else batch.webhook_url,
            item_webhooks=batch.item_webhooks if asked.item_webhooks is None else asked.item_webhooks,
            skip_invalid=batch.skip_invalid if asked.skip_invalid is None else asked.skip_invalid,
            base_url=base_url,
            deadline_at=schedule.deadline,
            retry_of=batch.id,
            traceparent=CURRENT.get(),
        )
        manifest.seek(0)
        return store_and_commit(context, new, manifest, ticket=ticket)


def _write(
    context: Context, batch: Batch, is_chosen: Callable[[int], bool], options: dict[str, Any], manifest: BinaryIO
) -> int:
    """Write the chosen lines; how many there were."""
    count = 0
    for line in _chosen(context, batch, is_chosen, options):
        manifest.write(line)
        count += 1
    return count


def _chosen(
    context: Context, batch: Batch, is_chosen: Callable[[int], bool], options: dict[str, Any]
) -> Iterator[bytes]:
    if batch.source is LineSource.ZIP:
        yield from rerun.photo_lines(_photos(context, batch), is_chosen)
        return
    try:
        with context.storage.open(batch.manifest_key or "gone") as file:
            yield from rerun.manifest_lines(file, batch, is_chosen, options)
    except ObjectNotFoundError as error:
        raise ProblemError("files_purged", "The batch's manifest was removed at the end of its retention.") from error


def _photos(context: Context, batch: Batch) -> Iterator[Upload]:
    after = 0
    while True:
        with context.sessions.begin() as session:
            page = uploads.of_batch(session, batch.id, after_line=after, limit=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].line or 0
