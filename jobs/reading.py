"""A batch's file, line by line and judged: the same for a look ahead in the API and for the worker that runs it."""

from collections.abc import Iterator
from typing import BinaryIO

from db.batch_models import LineSource
from jobs.archive import Archive, Entry
from jobs.errors import FieldError, JobError
from jobs.ids import UPLOAD_PREFIX, new_id
from jobs.lines import KNOWN_FIELDS, Judge, Line
from jobs.manifest import RawLine, read_lines
from vision.codec.header import ImageHeader, Limits, probe
from vision.errors import ImageError


def judged_lines(file: BinaryIO, source: LineSource, judge: Judge) -> Iterator[Line]:
    """The lines of a manifest. Whether uploads are there is for the database to say."""
    for raw in read_lines(file, source, KNOWN_FIELDS):
        line = judge.judge(raw)
        yield line
        if line.is_last:
            return


def judged_entries(archive: Archive, judge: Judge) -> Iterator[tuple[Entry, Line]]:
    """The files of a ZIP by its directory: the name is the custom id, and each gets the id of an upload to be made."""
    for entry in archive.entries():
        fields = {"custom_id": entry.name, "upload_id": UPLOAD_PREFIX + new_id().hex}
        yield entry, judge.judge(RawLine(entry.number, fields, (entry.problem,) if entry.problem else ()))


def read_photo(archive: Archive, entry: Entry, line: Line, limits: Limits) -> tuple[Line, bytes, ImageHeader | None]:
    """Unpack a good line's photo and look at its header; one that is refused, or too small, makes the line bad."""
    if line.errors:
        return line, b"", None
    try:
        data = archive.read(entry)
        header = probe(data, limits, animated=line.judged.params.animated)
        line.judged.params.require_regions(header.upright_hw)
    except (ImageError, JobError) as error:
        return line.with_error(FieldError("", error.code, error.detail)), b"", None
    return line, data, header
