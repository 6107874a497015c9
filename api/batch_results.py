"""What a batch made, as streams: JSON Lines, and a ZIP of all outputs with a manifest.

Rows are read a page at a time, each in a transaction of its own; nothing but names and the ZIP's directory is held.
"""

import csv
import heapq
import io
import json
import zipfile
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

import structlog

from api.batch_views import bad_line_object
from api.context import Context
from api.problems import job_problem
from api.views import job_object
from db import batches as rows
from db.base import JobStatus
from db.batch_models import Batch
from db.models import Job, Output
from jobs.filenames import clean_filename, stem_of
from jobs.ids import job_public_id
from storage.port import ObjectNotFoundError
from vision.codec.signature import ENDINGS
from vision.formats import ending_of

log = structlog.get_logger(__name__)

_PAGE = 200
_CHUNK_BYTES = 256 * 1024
_NOT_SUCCEEDED = (JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED)
_MANIFEST = "manifest.csv"
_COLUMNS = ("line", "custom_id", "job_id", "status", "verdict", "reasons", "output", "file", "sha256", "error")


def _jobs(context: Context, batch: Batch, statuses: Collection[JobStatus] = ()) -> Iterator[Job]:
    after = 0
    while True:
        with context.sessions.begin() as session:
            page = rows.items(session, batch.id, after_line=after, limit=_PAGE, statuses=statuses)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].line or 0


def output_lines(context: Context, batch: Batch, base_url: str) -> Iterator[bytes]:
    """The jobs that succeeded, as `GET /v1/jobs/{id}` shows them, by line."""
    for job in _jobs(context, batch, {JobStatus.SUCCEEDED}):
        yield job_object(job, base_url=base_url).model_dump_json().encode() + b"\n"


def error_lines(context: Context, batch: Batch) -> Iterator[bytes]:
    """Everything that did not come out, by line: bad lines, and jobs that did not succeed."""
    for _, entry in heapq.merge(_bad_lines(context, batch), _failures(context, batch), key=lambda pair: pair[0]):
        yield json.dumps(entry).encode() + b"\n"


def _bad_lines(context: Context, batch: Batch) -> Iterator[tuple[int, dict[str, Any]]]:
    after = 0
    while True:
        with context.sessions.begin() as session:
            page = rows.bad_lines(session, batch.id, after_line=after, limit=_PAGE)
        for line in page:
            shown = bad_line_object(line).model_dump()
            yield line.line, {**shown, "job_id": None, "status": "invalid", "error": None}
        if len(page) < _PAGE:
            return
        after = page[-1].line


def _failures(context: Context, batch: Batch) -> Iterator[tuple[int, dict[str, Any]]]:
    for job in _jobs(context, batch, _NOT_SUCCEEDED):
        error = job_problem(job.error_code, job.error_detail) if job.error_code else None
        yield (
            job.line or 0,
            {
                "line": job.line,
                "custom_id": job.custom_id,
                "errors": [],
                "job_id": job_public_id(job.id),
                "status": job.status.value,
                "error": error,
            },
        )


class _Pipe(io.RawIOBase):
    """Where the ZIP writer writes, and the response takes from. It can't seek, so sizes follow each file's bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def write(self, data: Any) -> int:
        """Keep a copy until it is taken."""
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


class Names:
    """Names of files in a ZIP: safe on every system, and each one there once, whatever case the system minds."""

    def __init__(self) -> None:
        self._seen = {_MANIFEST: 1}  # name -> number that its next namesake begins to look at

    def pick(self, job: Job, output: Output) -> str:
        """The custom id with its folders; an output besides the cutout has its own name behind it."""
        stem = _safe_path(job.custom_id or job_public_id(job.id), otherwise=job_public_id(job.id))
        if output.name != "cutout":
            stem = f"{stem}-{output.name}"
        first = name = f"{stem}.{ending_of(output.format)}"
        number = self._seen.get(first.casefold(), 1)
        while name.casefold() in self._seen:
            number += 1
            name = f"{stem}-{number}.{ending_of(output.format)}"
        self._seen[first.casefold()] = number  # or tens of thousands of namesakes would each count from one
        self._seen.setdefault(name.casefold(), 1)
        return name


def _safe_path(custom_id: str, *, otherwise: str) -> str:
    parts = [part for part in map(clean_filename, custom_id.replace("\\", "/").split("/")) if part]
    if parts and parts[-1].lower().endswith(ENDINGS):
        parts[-1] = clean_filename(stem_of(parts[-1], otherwise=otherwise)) or otherwise
    return "/".join(parts) or otherwise


def results_zip(context: Context, batch: Batch) -> Iterator[bytes]:
    """Every output that is still there, then `manifest.csv`: a line for each output, and for each job without one.

    Outputs are compressed already, so they are stored as they are.
    """
    pipe, names = _Pipe(), Names()
    with (
        SpooledTemporaryFile(max_size=1 << 20) as table,
        zipfile.ZipFile(cast("BinaryIO", pipe), "w", zipfile.ZIP_STORED) as archive,
    ):
        text = io.TextIOWrapper(cast("BinaryIO", table), "utf-8", newline="")
        writer = csv.writer(text)
        writer.writerow(_COLUMNS)
        for job in _jobs(context, batch):
            files = []
            for output in job.outputs:
                name = names.pick(job, output)
                file = _open(context, output)
                if file is None:
                    files.append((output.name, "", ""))
                    continue
                with file, archive.open(_entry(name, job, output), "w") as member:
                    while chunk := file.read(_CHUNK_BYTES):
                        member.write(chunk)
                        yield pipe.take()
                files.append((output.name, name, output.sha256 or ""))
            for output_name, name, sha256 in files or [("", "", "")]:
                writer.writerow(_row(job, output_name, name, sha256))
        text.flush()
        text.detach()
        table.seek(0)
        info = zipfile.ZipInfo(_MANIFEST, _date_time(batch.completed_at))
        with archive.open(info, "w") as member:
            while chunk := table.read(_CHUNK_BYTES):
                member.write(chunk)
                yield pipe.take()
    yield pipe.take()


def _open(context: Context, output: Output) -> BinaryIO | None:
    """None where the file is gone: the manifest says so."""
    if output.key is None:
        return None
    try:
        return context.storage.open(output.key)
    except ObjectNotFoundError:
        log.warning("file_missing", key=output.key)
        return None


def _entry(name: str, job: Job, output: Output) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _date_time(job.completed_at))
    info.external_attr = 0o644 << 16
    info.file_size = output.bytes or 0
    return info


def _row(job: Job, output_name: str, name: str, sha256: str | None) -> list[object]:
    return [
        job.line,
        _inert(job.custom_id or ""),
        job_public_id(job.id),
        job.status.value,
        job.verdict.value if job.verdict else "",
        " ".join(job.reasons),
        output_name,
        _inert(name),
        sha256,
        job.error_code or "",
    ]


def _inert(text: str) -> str:
    """Office programs run a cell that begins like a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _date_time(at: datetime | None) -> tuple[int, int, int, int, int, int]:
    at = (at or datetime.now(UTC)).astimezone(UTC)
    return at.year, at.month, at.day, at.hour, at.minute, at.second
