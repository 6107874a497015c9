"""What `packshot submit` knows of earlier runs: a file beside the cutouts, a line for each thing that happened.

A line is written after the service has taken a photo, and after it ended. Between the two nothing can be lost or made
twice: the photo's Idempotency-Key is made of what is sent, so that a run that knows of no job sends the same again.
"""

import fcntl
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal, Self

FILE = ".packshot-submit.jsonl"

Stage = Literal["submitted", "done", "failed"]


class InUseError(Exception):
    """Another run works in the same folder."""


@dataclass(frozen=True)
class Record:
    """The last that is known of an output. `terms` stands for the service and the options, `sha256` for the photo.

    `run` counts how often the photo was submitted on purpose: each has a key, and so a job, of its own.
    """

    output: str
    terms: str
    sha256: str
    run: int
    job: str
    stage: Stage


def terms_of(url: str, options: Mapping[str, Any]) -> str:
    """A short digest of where photos go and what is asked."""
    return hashlib.sha256(json.dumps([url, dict(options)], sort_keys=True).encode()).hexdigest()[:16]


def idempotency_key(terms: str, sha256: str, filename: str, run: int) -> str:
    """The same for the same photo under the same name, with the same options, as often as a run sends it."""
    return hashlib.sha256(json.dumps([terms, sha256, filename, run]).encode()).hexdigest()


class Journal:
    """The file. A context that keeps other runs out; nothing is written but by `add`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._records: dict[str, Record] = read_records(self._path)
        self._file: IO[str] | None = None

    def find(self, output: str) -> Record | None:
        """The last that is known of an output."""
        return self._records.get(output)

    def add(self, record: Record) -> None:
        """Write what happened, at once."""
        if self._file is None:
            raise ValueError("not open")
        self._file.write(json.dumps(asdict(record)) + "\n")
        self._file.flush()
        self._records[record.output] = record

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise InUseError(f"Another packshot submit works in {self._path.parent}.") from None
        # What the other run wrote while we looked; and a line that broke off must not swallow the next one.
        self._records = read_records(self._path)
        if self._path.stat().st_size and not self._path.read_bytes().endswith(b"\n"):
            self._file.write("\n")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def read_records(path: Path) -> dict[str, Record]:
    """The last record of each output; lines that broke off with a crash are left out."""
    records = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        try:
            record = Record(**json.loads(line))
        except (ValueError, TypeError):
            continue
        records[record.output] = record
    return records
