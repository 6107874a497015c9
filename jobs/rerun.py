"""Running a batch again: a new manifest of some of its lines, so that the second run is a batch like any other."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, BinaryIO

from sqlalchemy.orm import Session

from db import batches as rows
from db.base import JobStatus
from db.batch_models import Batch, Upload
from jobs.ids import UPLOAD_PREFIX
from jobs.lines import KNOWN_FIELDS
from jobs.manifest import read_lines


class Only(StrEnum):
    """Which jobs of a batch are run again."""

    FAILED = "failed"  # those that failed, or whose deadline passed
    UNFINISHED = "unfinished"  # those that did not succeed, canceled ones too
    ALL = "all"


def chosen_lines(session: Session, batch: Batch, only: Only) -> Callable[[int], bool]:
    """Whether a line is to be run again. Bad lines and those whose jobs were deleted are not."""
    if only is Only.FAILED:
        failed = rows.lines_by_status(session, batch.id, {JobStatus.FAILED, JobStatus.EXPIRED})
        return failed.__contains__
    left = rows.bad_line_numbers(session, batch.id) | rows.deleted_lines(session, batch.id)
    if only is Only.UNFINISHED:
        left |= rows.lines_by_status(session, batch.id, {JobStatus.SUCCEEDED})
    return lambda number: number not in left


def manifest_lines(
    file: BinaryIO, batch: Batch, is_chosen: Callable[[int], bool], overridden: Collection[str]
) -> Iterator[bytes]:
    """The chosen lines of a manifest as JSON Lines, without the options that the new run sets for all.

    Nor their deadlines, which are times and may have passed; `expires_in` counts anew.
    """
    for raw in read_lines(file, batch.source, KNOWN_FIELDS):
        if not raw.errors and is_chosen(raw.number):
            kept = {name: value for name, value in raw.fields.items() if name not in {*overridden, "deadline"}}
            yield _line({"custom_id": str(raw.number), **kept})


def photo_lines(photos: Iterable[Upload], is_chosen: Callable[[int], bool]) -> Iterator[bytes]:
    """The chosen photos of a ZIP as JSON Lines: they are stored already."""
    for photo in photos:
        if photo.line is not None and is_chosen(photo.line):
            yield _line({"custom_id": photo.filename, "upload_id": UPLOAD_PREFIX + photo.id.hex})


def _line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields).encode() + b"\n"
