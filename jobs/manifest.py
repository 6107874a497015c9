"""The lines of a manifest, read as a stream: JSON Lines, or CSV with a header. Nothing is judged but the form.

A line's number is where an editor shows it: from 1, the header of a CSV and blank lines counted. A record of a CSV that
spans several lines has the number of its first.
"""

import csv
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from db.batch_models import LineSource
from jobs.errors import FieldError
from jobs.fields import is_storable

MAX_LINE_BYTES = 64 * 1024
LABEL_PREFIX = "labels."
"""Columns of a CSV that begin so are labels: `labels.sku`."""

_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t"  # office programs write ; where the comma is the decimal point


@dataclass(frozen=True)
class RawLine:
    """A line's fields as they came, or what is wrong with its form."""

    number: int
    fields: dict[str, Any]
    errors: tuple[FieldError, ...] = ()
    is_last: bool = False  # nothing behind it can be read


def read_lines(file: BinaryIO, source: LineSource, known: Collection[str]) -> Iterator[RawLine]:
    """The lines of a manifest in their order, from the start of `file`. Blank ones are left out.

    `known` are the names that a CSV's columns may have: a misspelled one is told once, not with every line.
    """
    file.seek(0)
    if file.read(len(_BOM)) != _BOM:
        file.seek(0)
    return _read_json(file) if source is LineSource.JSONL else _read_csv(file, known)


def sniff(start: bytes, filename: str | None) -> LineSource | None:
    """What a file is by its first bytes, which say more than its name; None for what is neither of the three."""
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return LineSource.ZIP
    text = start.removeprefix(_BOM).lstrip()
    if text.startswith(b"{") or (filename or "").lower().endswith((".jsonl", ".ndjson")):
        return LineSource.JSONL
    return None if b"\x00" in start or text.startswith(b"[") else LineSource.CSV


def _bad(number: int, code: str, detail: str, *, is_last: bool = False) -> RawLine:
    return RawLine(number, {}, (FieldError("", code, detail),), is_last)


def _physical_lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Number and bytes of each line, None for one that is too long: it is skipped, never held."""
    number = 0
    while chunk := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(chunk) > MAX_LINE_BYTES and not chunk.endswith(b"\n"):
            while chunk and not chunk.endswith(b"\n"):
                chunk = file.readline(MAX_LINE_BYTES)
            yield number, None
        else:
            yield number, chunk


def _read_json(file: BinaryIO) -> Iterator[RawLine]:
    for number, line in _physical_lines(file):
        if line is None:
            yield _bad(number, "line_too_long", f"A line has at most {MAX_LINE_BYTES} bytes.")
        elif line.strip():
            yield _parse_json(number, line)


def _parse_json(number: int, line: bytes) -> RawLine:
    twice: list[str] = []

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if not all(name.isascii() or is_storable(name) for name in fields):
            raise ValueError  # half a surrogate pair: no field is called so
        if len(fields) < len(pairs):
            twice.append(next(name for i, (name, _) in enumerate(pairs) if name in dict(pairs[:i])))
        return fields

    try:
        fields = json.loads(line.decode("utf-8"), object_pairs_hook=distinct, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return _bad(number, "invalid_json", "The line is not JSON in UTF-8.")
    if not isinstance(fields, dict):
        return _bad(number, "invalid_json", "The line is not a JSON object.")
    if twice:
        return _bad(number, "duplicate_field", "A field is given twice.")
    return RawLine(number, fields)


def _no_constant(name: str) -> None:
    raise ValueError(name)


class _Text:
    """A file's lines as text for the CSV reader, and the number of the one read last.

    What is not UTF-8 becomes lone surrogates, which no field may hold: so it is told with its line.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.number = 0
        self._lines = _physical_lines(file)

    def __iter__(self) -> "_Text":
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        if line is None:
            raise csv.Error("too long")
        return line.decode("utf-8", "surrogateescape").replace("\x00", "\udc00")


def _read_csv(file: BinaryIO, known: Collection[str]) -> Iterator[RawLine]:
    text = _Text(file)
    try:
        header = next(text, "")
        delimiter = max(_DELIMITERS, key=header.count)
        columns = [name.strip() for name in next(csv.reader([header], delimiter=delimiter, strict=True), [])]
        problem = _header_problem(columns, known)
        if problem is not None:
            yield RawLine(1, {}, (problem,), is_last=True)
            return
        first = text.number + 1
        for cells in csv.reader(text, delimiter=delimiter, strict=True):
            if any(cell.strip() for cell in cells):
                yield _parse_cells(first, columns, cells)
            first = text.number + 1
    except csv.Error:
        detail = f"A quote has no end, or the line has more than {MAX_LINE_BYTES} bytes; what follows can't be read."
        yield _bad(text.number, "invalid_csv", detail, is_last=True)


def _header_problem(columns: list[str], known: Collection[str]) -> FieldError | None:
    if not any(columns):
        return FieldError("", "invalid_csv", "The first line of a CSV names its columns.")
    for i, name in enumerate(columns):
        if name not in known and not name.startswith(LABEL_PREFIX):
            shown = name.encode("ascii", "replace").decode()[:64]
            return FieldError("", "unknown_field", f"There is no field {shown!r}; columns are {', '.join(known)}.")
        if name in columns[:i]:
            return FieldError("", "duplicate_field", f"The column {name} is there twice.")
    return None


def _parse_cells(number: int, columns: list[str], cells: list[str]) -> RawLine:
    """An empty cell is a field that is not given."""
    if len(cells) > len(columns):
        return _bad(number, "invalid_csv", f"The line has {len(cells)} cells, the header {len(columns)}.")
    given = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
    labels = {name.removeprefix(LABEL_PREFIX): given.pop(name) for name in [*given] if name.startswith(LABEL_PREFIX)}
    if labels and "labels" in given:
        return _bad(number, "duplicate_field", f"Labels stand in the column labels or in {LABEL_PREFIX}*, not in both.")
    return RawLine(number, {**given, **({"labels": labels} if labels else {})})
