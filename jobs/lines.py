"""The lines of a batch, judged one by one: good ones with all that makes a job, bad ones with all that is wrong."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from db.batch_models import Upload
from jobs.errors import FieldError
from jobs.fields import JobCreate, Judged, Rules, is_storable, judge
from jobs.ids import UPLOAD_PREFIX, parse_id
from jobs.lanes import Lane
from jobs.manifest import RawLine
from jobs.schedule import Schedule, ScheduleFields, judge_schedule, too_long_kept
from vision.errors import ImageError

MAX_CUSTOM_ID = 256
KNOWN_FIELDS = ("custom_id", "upload_id", *JobCreate.model_fields, *ScheduleFields.model_fields)

T = TypeVar("T")


@dataclass(frozen=True)
class Line:
    """A line that was judged: it becomes a job unless it has errors. Its source is a URL or an upload."""

    number: int
    custom_id: str
    judged: Judged
    schedule: Schedule
    upload_id: UUID | None
    errors: tuple[FieldError, ...]
    is_last: bool = False

    def with_error(self, error: FieldError) -> "Line":
        """The same line, bad."""
        return replace(self, errors=(*self.errors, error))


@dataclass(frozen=True)
class LineTerms:
    """What options of lines are judged by.

    `defaults`: fields of lines that do not say otherwise; `made_at`: of the batch, from then on a line's `expires_in`
    counts; `longest`: how long the key's files stay at most.
    """

    rules: Rules
    defaults: Mapping[str, Any]
    made_at: datetime
    longest: timedelta

    def judge(self, fields: Mapping[str, Any]) -> tuple[Judged, Schedule, tuple[FieldError, ...]]:
        """Judge a line's options; with errors neither is to be used."""
        options, timing = split_schedule({**self.defaults, **fields})
        judged = judge(options, self.rules)
        schedule, errors = judge_schedule(timing, now=self.made_at, lane=Lane.BULK)
        if schedule.retention is not None and schedule.retention > self.longest:
            errors.append(FieldError("/retention", "invalid_retention", too_long_kept(self.longest)))
        return judged, schedule, (*judged.errors, *errors)


def split_schedule(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(options that say what is made, and what else stands there; the fields of `ScheduleFields`)."""
    timing = {name: value for name, value in fields.items() if name in ScheduleFields.model_fields}
    return {name: value for name, value in fields.items() if name not in timing}, timing


class Judge:
    """Judges lines in their order; remembers their custom ids, since each may be there once."""

    def __init__(self, terms: LineTerms, *, max_items: int) -> None:
        self._terms = terms
        self._max_items = max_items
        self._seen: dict[str, int] = {}  # custom id -> line
        self._count = 0

    def judge(self, raw: RawLine) -> Line:
        """Judge one line. A line without a custom id is known by its number."""
        self._count += 1
        errors = list(raw.errors)
        fields = dict(raw.fields)
        custom_id = self._custom_id(fields.pop("custom_id", None), raw.number, errors)
        upload_id = _upload_id(fields.pop("upload_id", None), errors)
        judged, schedule, bad_options = self._terms.judge(fields)
        if not raw.errors:
            errors += bad_options
            errors += _source_errors(judged, has_upload="upload_id" in raw.fields)
        is_last = raw.is_last
        if self._count > self._max_items:
            errors = [FieldError("", "too_many_items", f"A batch has at most {self._max_items} lines.")]
            is_last = True
        return Line(raw.number, custom_id, judged, schedule, upload_id, tuple(errors), is_last)

    def _custom_id(self, given: object, number: int, errors: list[FieldError]) -> str:
        if given is None:
            given = str(number)
        elif problem := _custom_id_problem(given):
            errors.append(FieldError("/custom_id", "invalid_custom_id", problem))
            return str(number)
        custom_id = str(given)
        earlier = self._seen.setdefault(custom_id, number)
        if earlier != number:
            errors.append(FieldError("/custom_id", "duplicate_custom_id", f"Line {earlier} has the same custom_id."))
        return custom_id


def in_chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def check_uploads(lines: Sequence[Line], usable: Mapping[UUID, Upload]) -> list[Line]:
    """The lines, those bad whose upload is not there, or is none that their options take."""
    return [line if line.upload_id is None else _check_upload(line, usable.get(line.upload_id)) for line in lines]


def _check_upload(line: Line, upload: Upload | None) -> Line:
    if upload is None:
        return line.with_error(
            FieldError("/upload_id", "upload_not_found", "There is no such upload, or it has expired.")
        )
    try:
        line.judged.params.require_still(upload.format, is_animated=upload.is_animated)
        line.judged.params.require_regions(upload.upright_hw)
    except ImageError as error:
        return line.with_error(FieldError("", error.code, error.detail))
    return line


def _custom_id_problem(given: object) -> str | None:
    if not isinstance(given, str) or not 0 < len(given) <= MAX_CUSTOM_ID:
        return f"custom_id: text of 1 to {MAX_CUSTOM_ID} characters."
    if not is_storable(given) or any(unicodedata.category(character)[0] == "C" for character in given):
        return "custom_id: holds a control character."
    return None


def _upload_id(given: object, errors: list[FieldError]) -> UUID | None:
    if given is None:
        return None
    upload_id = parse_id(given, UPLOAD_PREFIX) if isinstance(given, str) else None
    if upload_id is None:
        errors.append(FieldError("/upload_id", "upload_not_found", "upload_id is the id of an upload."))
    return upload_id


def _source_errors(judged: Judged, *, has_upload: bool) -> tuple[FieldError, ...]:
    if judged.names_url and has_upload:
        return (FieldError("", "multiple_sources", "Give image_url or upload_id, not both."),)
    if not judged.names_url and not has_upload:
        return (FieldError("", "missing_source", "Give image_url or upload_id."),)
    return ()
