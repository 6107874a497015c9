"""From the form of a batch to a committed row, or to a look ahead that makes nothing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, BinaryIO, cast
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.batch_views import batch_reply
from api.context import Context
from api.idempotency import Answer, commit_once, look
from api.intake import remove_files
from api.problems import ProblemError, from_job_error, job_problem
from api.scratch import scratch_disk
from api.uploads import Form, Upload
from config.tracing import CURRENT
from db import uploads
from db.batch_models import LineSource
from jobs import batch_work, batches, service
from jobs.archive import Archive, ArchiveLimits
from jobs.batches import NewBatch
from jobs.errors import FieldError, JobError, pointer_to
from jobs.fields import Judged
from jobs.filenames import clean_filename
from jobs.idempotency import Ticket
from jobs.ids import new_id
from jobs.keys import Caller
from jobs.lines import Judge, Line, LineTerms, check_uploads, in_chunks
from jobs.manifest import sniff
from jobs.reading import judged_entries, judged_lines, read_photo
from storage.keys import manifest_key
from vision.codec.header import Limits

log = structlog.get_logger(__name__)

BATCH_FIELD = "file"
_START_BYTES = 4096
_CHUNK_LINES = 500
_SPOOL_BYTES = 1 << 20
_CHUNK_BYTES = 64 * 1024
OF_THE_BATCH = frozenset({"labels", "webhook_url", "expires_in", "deadline"})
"""Fields that say something of the batch itself; the others are options of its lines."""

Flag = Annotated[bool, Field(strict=False)]


class BatchFlags(BaseModel):
    """How a batch is taken; the other fields are options of its lines."""

    model_config = ConfigDict(extra="ignore", strict=True)

    validate_only: Flag = Field(
        default=False, description="Judge every line, reply with all that is wrong and what would run; make nothing."
    )
    skip_invalid: Flag = Field(
        default=False, description="Run the good lines though others are bad. Without it one bad line stops them all."
    )
    item_webhooks: Flag = Field(
        default=False,
        description="Tell of each job too, at `webhook_url` and at registered endpoints; otherwise of the batch alone.",
    )


@dataclass(frozen=True)
class BatchRequest:
    """A batch that passed every check that needs no look at its lines."""

    flags: BatchFlags
    options: dict[str, Any]
    labels: dict[str, str]
    webhook_url: str | None
    deadline: datetime | None
    source: LineSource
    upload: Upload
    terms: LineTerms

    @property
    def file(self) -> BinaryIO:
        """The manifest or ZIP, from its start."""
        self.upload.file.seek(0)
        return cast("BinaryIO", self.upload.file)


def line_terms(context: Context, api_key_id: UUID) -> LineTerms:
    """What options of a key's batch are judged by that is made now."""
    with context.sessions.begin() as session:
        longest = service.longest_retention(session, api_key_id, default=context.settings.files_retention)
    return LineTerms(context.rules, {}, datetime.now(UTC), longest)


def parse_batch(form: Form, context: Context, *, api_key_id: UUID) -> BatchRequest:
    """Judge a form: its options, and what its file is. `ProblemError`, `JobError`."""
    flags, fields = _flags(form.fields)
    terms = line_terms(context, api_key_id)
    judged, schedule, found = terms.judge(fields)
    errors = list(found)
    if judged.names_url:
        errors.append(FieldError("/image_url", "unknown_field", "Photos are named by the lines of the manifest."))
    errors += puts_for_all(judged)
    if errors:
        detail = " ".join(error.detail for error in errors)
        raise from_job_error(JobError("invalid_options", detail, errors=tuple(errors)))
    if form.upload is None or not form.upload.size_bytes:
        raise ProblemError("missing_source", f"Send the manifest or the ZIP of photos as {BATCH_FIELD}.")
    form.upload.file.seek(0)
    source = sniff(form.upload.file.read(_START_BYTES), form.upload.filename)
    if source is None:
        raise ProblemError("invalid_manifest", "The file is neither JSON Lines nor CSV nor a ZIP.")
    limit = context.settings.batch_max_manifest_bytes
    if source is not LineSource.ZIP and form.upload.size_bytes > limit:
        raise ProblemError("file_too_large", f"A manifest has at most {limit} bytes.")
    options = {name: value for name, value in fields.items() if name not in OF_THE_BATCH}
    defaults = batches.line_defaults(options, judged.webhook_url, item_webhooks=flags.item_webhooks)
    asked = BatchRequest(
        flags=flags,
        options=options,
        labels=judged.labels,
        webhook_url=judged.webhook_url,
        deadline=schedule.deadline,
        source=source,
        upload=form.upload,
        terms=replace(terms, defaults=defaults),
    )
    if source is LineSource.ZIP:
        Archive(asked.file, ArchiveLimits.from_settings(context.settings))
    return asked


def puts_for_all(judged: Judged) -> list[FieldError]:
    """A URL that all lines would be put to is refused: each result would replace the one before."""
    detail = "put_url belongs into the lines: photos of a batch can't all be put to one URL."
    return [FieldError("/put_url", "invalid_put_url", detail)] if judged.puts else []


def _flags(fields: dict[str, Any]) -> tuple[BatchFlags, dict[str, Any]]:
    try:
        flags = BatchFlags.model_validate(fields)
    except ValidationError as error:
        errors = tuple(
            FieldError(pointer_to(found["loc"][0]), "invalid_option", f"{found['loc'][0]}: {found['msg']}.")
            for found in error.errors(include_url=False)
        )
        detail = " ".join(field.detail for field in errors)
        raise from_job_error(JobError("invalid_options", detail, errors=errors)) from error
    return flags, {name: value for name, value in fields.items() if name not in BatchFlags.model_fields}


def accept_batch(
    context: Context, asked: BatchRequest, *, api_key_id: UUID, base_url: str, ticket: Ticket | None
) -> Answer:
    """Store the file, commit the row. A file without a row is swept."""
    if (before := look(context.sessions, ticket)) is not None:
        return before
    batch_id = new_id()
    new = NewBatch(
        id=batch_id,
        api_key_id=api_key_id,
        source=asked.source,
        filename=clean_filename(asked.upload.filename),
        manifest_key=manifest_key(batch_id),
        manifest_bytes=asked.upload.size_bytes,
        options=asked.options,
        labels=asked.labels,
        webhook_url=asked.webhook_url,
        item_webhooks=asked.flags.item_webhooks,
        skip_invalid=asked.flags.skip_invalid,
        base_url=base_url,
        deadline_at=asked.deadline,
        traceparent=CURRENT.get(),
    )
    return store_and_commit(context, new, asked.file, ticket=ticket)


def store_and_commit(context: Context, new: NewBatch, file: BinaryIO, *, ticket: Ticket | None) -> Answer:
    """The manifest first, then the row that names it."""
    context.storage.put(new.manifest_key, file)
    answer = commit_once(context.sessions, ticket, lambda session: batch_reply(batches.create(session, new)))
    if answer.is_replay:
        remove_files(context.storage, (new.manifest_key,))
    else:
        log.info(
            "batch_submitted", batch_id=batches.public_id(new.id), source=new.source.value, bytes=new.manifest_bytes
        )
    return answer


@dataclass
class Plan:
    """What a batch would be: its bad lines in a spooled file, as JSON, and the sums."""

    source: LineSource
    report: SpooledTemporaryFile[bytes]
    lines: int = 0
    invalid: int = 0
    error: JobError | None = None  # why nothing would run

    def note(self, line: Line) -> None:
        """Count a line, and write down what is wrong with it."""
        self.lines += 1
        if not line.errors:
            return
        errors = [vars(error) for error in line.errors]
        entry = {"line": line.number, "custom_id": line.custom_id, "errors": errors}
        self.report.write((b"," if self.invalid else b"") + json.dumps(entry).encode())
        self.invalid += 1

    def body(self) -> Iterator[bytes]:
        """The reply as a stream: the report may be long."""
        error = self.error
        head = {
            "object": "batch.plan",
            "source": self.source.value,
            "lines": self.lines,
            "valid": self.lines - self.invalid,
            "invalid": self.invalid,
            "would_run": error is None,
            "error": None if error is None else job_problem(error.code, error.detail),
        }
        with self.report as report:
            report.seek(0)
            yield json.dumps(head).encode().removesuffix(b"}") + b', "errors": ['
            while chunk := report.read(_CHUNK_BYTES):
                yield chunk
            yield b"]}"


def look_ahead(context: Context, asked: BatchRequest, *, caller: Caller) -> Plan:
    """Judge every line as the worker would, and whether there is room for the jobs. Nothing is stored."""
    judge_ = Judge(asked.terms, max_items=context.settings.batch_max_items)
    plan = Plan(asked.source, SpooledTemporaryFile(max_size=_SPOOL_BYTES))  # noqa: SIM115 - `Plan.body` closes it
    is_zip = asked.source is LineSource.ZIP
    lines = _photos(context, asked, judge_) if is_zip else _lines(context, asked, judge_, caller.id)
    with scratch_disk():
        for line in lines:
            plan.note(line)
        plan.report.flush()
    plan.error = batch_work.refusal(plan.lines, plan.invalid, skip_invalid=asked.flags.skip_invalid)
    if plan.error is None:
        quota = context.limiter.quotas(caller).queue_depth
        with context.sessions.begin() as session:
            plan.error = batch_work.no_room(session, caller.id, plan.lines - plan.invalid, quota)
    return plan


def _lines(context: Context, asked: BatchRequest, judge_: Judge, api_key_id: UUID) -> Iterator[Line]:
    for chunk in in_chunks(judged_lines(asked.file, asked.source, judge_), _CHUNK_LINES):
        ids = {line.upload_id for line in chunk if line.upload_id is not None}
        with context.sessions.begin() as session:
            at_least = context.settings.uploads_retention
            usable = uploads.usable(session, ids, api_key_id=api_key_id, at_least=at_least) if ids else {}
        yield from check_uploads(chunk, usable)


def _photos(context: Context, asked: BatchRequest, judge_: Judge) -> Iterator[Line]:
    settings = context.settings
    limits = Limits(max_megapixels=settings.max_megapixels, max_bytes=settings.max_upload_bytes)
    archive = Archive(asked.file, ArchiveLimits.from_settings(settings))
    for entry, line in judged_entries(archive, judge_):
        yield read_photo(archive, entry, line, limits)[0]
