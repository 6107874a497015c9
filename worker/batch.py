"""A stretch of work on one batch: its lines are judged, or become jobs, or its jobs are ended; a chunk a transaction.

A stretch is bounded in time, so that batches take turns and a worker that shuts down is not kept; the next one goes on
at the cursor. What is killed in the middle of a chunk leaves nothing of it behind but files, and those are swept.
"""

import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, BinaryIO

import structlog

from config.settings import Settings
from config.tracing import Kind, Silent, Tracing, attributes_of
from db import batches as rows
from db import uploads
from db.batch_models import Batch, BatchStatus, LineSource
from db.session import DATABASE_AWAY, Sessions
from dispatch.counters import Counters
from dispatch.doorbell import Doorbell
from dispatch.names import Bell
from jobs import batch_ends, batch_work, batches, service
from jobs.archive import Archive, ArchiveLimits, Entry
from jobs.batch_work import BreakTerms, Terms
from jobs.errors import JobError
from jobs.fields import Rules
from jobs.lines import Judge, Line, LineTerms, in_chunks
from jobs.quotas import MEGAPIXELS, WINDOW_S, OwnQuotas, counter_of
from jobs.reading import judged_entries, judged_lines, read_photo
from storage.keys import upload_key
from storage.port import ObjectNotFoundError, Storage, StorageUnavailableError
from vision.codec.header import Limits

log = structlog.get_logger(__name__)

_STRETCH_S = 15.0
_LEASE_S = 120.0
_CHUNK_LINES = 500
_CHUNK_PHOTOS = 20
_PAUSE = timedelta(seconds=10)


@dataclass(frozen=True)
class Batching:
    """What work on batches needs. `should_stop`: the worker shuts down."""

    settings: Settings
    sessions: Sessions
    storage: Storage
    bell: Doorbell
    counters: Counters
    read_rules: Callable[[], Rules]  # models may be imported while the worker runs
    should_stop: Callable[[], bool]
    tracing: Tracing = field(default_factory=Silent)

    @property
    def terms(self) -> Terms:
        """How a batch is held."""
        settings = self.settings
        quotas = OwnQuotas(settings.requests_per_minute, settings.megapixels_per_minute, settings.queue_depth)
        return Terms(_LEASE_S, settings.files_retention, settings.uploads_retention, quotas)


def run(needs: Batching, batch: Batch) -> None:
    """Work on a claimed batch until it needs no more, the stretch is over or the worker stops."""
    ends_at = time.monotonic() + _STRETCH_S

    def is_over() -> bool:
        return needs.should_stop() or time.monotonic() >= ends_at

    steps = {
        BatchStatus.VALIDATING: _validate,
        BatchStatus.IN_PROGRESS: _expand,
        BatchStatus.CANCELING: _end_jobs,
    }
    span = needs.tracing.start(
        f"batch {batch.status.value}",
        parent=batch.traceparent,
        kind=Kind.CONSUMER,
        attributes=attributes_of(batches.about(batch)),
    )
    try:
        with span:
            steps[batch.status](needs, batch, is_over)
    except StorageUnavailableError as error:
        log.warning("batch_put_off", error=str(error))
        with needs.sessions.begin() as session:
            batch_work.put_off(session, batch, _PAUSE)
    except ObjectNotFoundError:
        _fail(needs, batch, JobError("source_lost", "The manifest is not in the file store any more."))
    except JobError as error:
        _fail(needs, batch, error)


def _fail(needs: Batching, batch: Batch, error: JobError) -> None:
    with needs.sessions.begin() as session:
        is_ours = batches.fail(session, batch, error, attempt=batch.attempt)
    if is_ours:
        log.info("batch_failed", code=error.code)
        needs.bell.ring(Bell.IO)


def break_off(needs: Batching, batch: Batch, error: BaseException) -> None:
    """A stretch ended in an error that nobody foresaw: again after a pause, a few times.

    A database that is away is no fault of the batch: not counted, its lease lapses.
    """
    if isinstance(error, DATABASE_AWAY):
        return
    terms = BreakTerms(needs.settings.max_crashes, needs.settings.retry_backoff_s)
    try:
        with needs.sessions.begin() as session:
            has_failed = batch_work.break_off(session, batch, terms)
    except DATABASE_AWAY as away:
        log.warning("batch_break_not_counted", error=type(away).__name__)
        return
    if has_failed:
        log.error("batch_broke")
        needs.bell.ring(Bell.IO)


def _validate(needs: Batching, batch: Batch, is_over: Callable[[], bool]) -> None:
    note = _note_photos if batch.source is LineSource.ZIP else _note_manifest
    with needs.storage.open(batch.manifest_key or "") as file:
        for is_ours in note(needs, batch, file):
            if not is_ours:
                return
            if is_over():
                _release(needs, batch)
                return
    with needs.sessions.begin() as session:
        started = batch_work.start(session, batch, needs.terms)
        if started is not None:
            batch_work.release(session, started)
    log.info("batch_validated", runs=started is not None)
    needs.bell.ring(Bell.IO)


def _release(needs: Batching, batch: Batch) -> None:
    with needs.sessions.begin() as session:
        batch_work.release(session, batch)
    needs.bell.ring(Bell.IO)


def _note_manifest(needs: Batching, batch: Batch, file: BinaryIO) -> Iterator[bool]:
    """Judge the lines behind the cursor; after each chunk, whether the batch is still ours."""
    lines = judged_lines(file, batch.source, _judge(needs, batch, needs.settings.batch_max_items))
    for chunk in in_chunks((line for line in lines if line.number > batch.cursor_line), _CHUNK_LINES):
        with needs.sessions.begin() as session:
            is_ours = batch_work.note_lines(session, batch, chunk, needs.terms)
        yield is_ours


def _judge(needs: Batching, batch: Batch, max_items: int) -> Judge:
    return Judge(_line_terms(needs, batch), max_items=max_items)


def _line_terms(needs: Batching, batch: Batch) -> LineTerms:
    with needs.sessions.begin() as session:
        longest = service.longest_retention(session, batch.api_key_id, default=needs.settings.files_retention)
    defaults = batches.line_defaults(batch.options, batch.webhook_url, item_webhooks=batch.item_webhooks)
    return LineTerms(needs.read_rules(), defaults, batch.created_at, longest)


def _note_photos(needs: Batching, batch: Batch, file: BinaryIO) -> Iterator[bool]:
    """Store the photos behind the cursor; after each chunk, whether the batch is still ours."""
    archive = Archive(file, ArchiveLimits.from_settings(needs.settings))
    # Every name is judged, those before the cursor too: a name may be there once.
    judged = judged_entries(archive, _judge(needs, batch, needs.settings.batch_max_items))
    for chunk in in_chunks((pair for pair in judged if pair[0].number > batch.cursor_line), _CHUNK_PHOTOS):
        noted = [_take_photo(needs, batch, archive, entry, line) for entry, line in chunk]
        photos = [photo for _, photo in noted if photo is not None]
        with needs.sessions.begin() as session:
            is_ours = batch_work.note_lines(session, batch, [line for line, _ in noted], needs.terms, photos=photos)
        if is_ours:
            megapixels = sum(photo["width"] * photo["height"] for photo in photos) / 1e6
            needs.counters.charge(counter_of(MEGAPIXELS, batch.api_key_id), megapixels, window_s=WINDOW_S)
        else:
            for photo in photos:
                needs.storage.delete(photo["key"])
        yield is_ours


def _take_photo(
    needs: Batching, batch: Batch, archive: Archive, entry: Entry, line: Line
) -> tuple[Line, dict[str, Any] | None]:
    """Store the photo of a good line; a bad photo makes the line bad."""
    limits = Limits(max_megapixels=needs.settings.max_megapixels, max_bytes=needs.settings.max_upload_bytes)
    line, data, header = read_photo(archive, entry, line, limits)
    if header is None or line.upload_id is None:
        return line, None
    key = upload_key(line.upload_id)
    needs.storage.put(key, data)
    photo = {
        "id": line.upload_id,
        "api_key_id": batch.api_key_id,
        "batch_id": batch.id,
        "line": line.number,
        "filename": entry.name,
        "key": key,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "format": header.format,
        "width": header.width_px,
        "height": header.height_px,
        "is_turned": header.is_turned,
        "is_animated": header.frames > 1,
    }
    return line, photo


def _expand(needs: Batching, batch: Batch, is_over: Callable[[], bool]) -> None:
    lines = _photo_lines if batch.source is LineSource.ZIP else _manifest_lines
    trace = partial(_item_trace, needs.tracing, batch)
    for chunk in lines(needs, batch):
        with needs.sessions.begin() as session:
            is_ours = batch_work.expand(session, batch, chunk, needs.terms, trace=trace)
        if not is_ours:
            return
        # Coalesced: while a ring is unanswered no further one is sent.
        for bell in (Bell.GPU, Bell.IO):
            needs.bell.ring(bell)
        if is_over():
            _release(needs, batch)
            return
    with needs.sessions.begin() as session:
        batch_work.end_expansion(session, batch)
    log.info("batch_expanded")


def _item_trace(tracing: Tracing, batch: Batch, line: Line) -> str | None:
    """Each item has a trace of its own that names the batch's: one of fifty thousand photos no collector could show.

    Where tracing is off, all of them carry the caller's.
    """
    if not tracing.is_on:
        return batch.traceparent
    about = attributes_of({"batch_id": batches.public_id(batch.id), "line": line.number})
    with tracing.start("item", kind=Kind.PRODUCER, links=[batch.traceparent], attributes=about) as span:
        return span.traceparent


def _manifest_lines(needs: Batching, batch: Batch) -> Iterator[list[Line]]:
    """The good lines behind the cursor, as they were judged before."""
    with needs.sessions.begin() as session:
        bad = rows.bad_line_numbers(session, batch.id) if batch.invalid else set()
    with needs.storage.open(batch.manifest_key or "") as file:
        lines = judged_lines(file, batch.source, _judge(needs, batch, sys.maxsize))
        good = (line for line in lines if line.number > batch.cursor_line and line.number not in bad)
        yield from in_chunks(good, _CHUNK_LINES)


def _photo_lines(needs: Batching, batch: Batch) -> Iterator[list[Line]]:
    """The stored photos behind the cursor."""
    judged, schedule, errors = _line_terms(needs, batch).judge({})
    after = batch.cursor_line
    while True:
        with needs.sessions.begin() as session:
            photos = uploads.of_batch(session, batch.id, after_line=after, limit=_CHUNK_LINES)
        if not photos:
            return
        lines = [Line(photo.line or 0, photo.filename or "", judged, schedule, photo.id, errors) for photo in photos]
        yield lines
        after = lines[-1].number


def _end_jobs(needs: Batching, batch: Batch, is_over: Callable[[], bool]) -> None:
    while True:
        with needs.sessions.begin() as session:
            left, is_heard = batch_ends.end_some(session, batch, limit=_CHUNK_LINES)
            if left and is_over():
                batch_work.release(session, batch)
        if is_heard:
            needs.bell.ring(Bell.IO)
        if not left or is_over():
            return
