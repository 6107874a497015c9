"""A ZIP of photos: judged by its directory before anything of it is unpacked, then unpacked one photo at a time.

The directory says how many entries there are and how large each one claims to be; Python's `zipfile` never unpacks more
than the claim. So the limits below bound memory, time and disk, whatever the bytes hold. Names are information: no
path is ever made of one.
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import SEEK_END
from itertools import pairwise
from typing import BinaryIO

from config.settings import Settings
from jobs.errors import FieldError, JobError

_END = b"PK\x05\x06"
_END_BYTES = 22
_ZIP64_LOCATOR_BYTES = 20
_ZIP64_RECORD_BYTES = 56
_ENTRY = b"PK\x01\x02"
_MAX_COMMENT_BYTES = 0xFFFF
_DIRECTORY_BYTES_PER_ENTRY = 512
_MAX_RATIO = 1000  # DEFLATE can't do much more, and no photo comes near
_ENCRYPTED = 0x1
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
# What operating systems put beside the photos.
_LITTER_FOLDERS = frozenset({"__MACOSX"})
_LITTER_FILES = frozenset({"thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class ArchiveLimits:
    """What a ZIP may hold at most."""

    max_entries: int
    max_entry_bytes: int
    max_total_bytes: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "ArchiveLimits":
        """The limits that the settings ask for."""
        return cls(settings.batch_max_items, settings.max_upload_bytes, settings.batch_max_unpacked_bytes)


@dataclass(frozen=True)
class Entry:
    """A file in a ZIP, by its directory; `problem` where it is not to be unpacked."""

    number: int
    name: str
    bytes: int
    info: zipfile.ZipInfo
    problem: FieldError | None


class Archive:
    """An opened ZIP that kept within the limits as a whole. `JobError` `invalid_archive`, `archive_too_large`."""

    def __init__(self, file: BinaryIO, limits: ArchiveLimits) -> None:
        _check_directory(file, limits)
        file.seek(0)
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OverflowError) as error:
            raise JobError("invalid_archive", "The file is no ZIP, or its directory is damaged.") from error
        self._limits = limits
        infos = [info for info in self._zip.infolist() if not info.is_dir() and not _is_litter(info.filename)]
        total = sum(info.file_size for info in infos)
        if total > limits.max_total_bytes:
            detail = f"Unpacked it has {total} bytes; at most {limits.max_total_bytes} are taken."
            raise JobError("archive_too_large", detail)
        self._overlapping = _overlapping(infos)
        self._infos = infos

    def entries(self) -> Iterator[Entry]:
        """The photos, numbered from 1 in the directory's order; folders and what systems leave behind are left out."""
        for number, info in enumerate(self._infos, start=1):
            yield Entry(number, info.filename, info.file_size, info, self._problem(info))

    def read(self, entry: Entry) -> bytes:
        """The bytes of an entry without a problem: at most those that the directory claims. `JobError`."""
        try:
            with self._zip.open(entry.info) as file:
                return file.read()
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
            raise JobError("failed_to_read_image", "The entry is damaged or cut off.") from error

    def _problem(self, info: zipfile.ZipInfo) -> FieldError | None:
        if info.file_size > self._limits.max_entry_bytes:
            detail = f"{info.file_size} bytes; at most {self._limits.max_entry_bytes} are accepted."
            return FieldError("", "file_too_large", detail)
        complaints = (
            (bool(info.flag_bits & _ENCRYPTED), "The entry is encrypted."),
            (info.compress_type not in _METHODS, "Only stored and deflated entries are taken."),
            (_leaves(info.filename), "The entry's name leaves the archive."),
            (stat.S_IFMT(info.external_attr >> 16) not in {0, stat.S_IFREG}, "The entry is a link or a device."),
            (info.header_offset in self._overlapping, "The entry shares its bytes with another."),
            (
                info.file_size > max(info.compress_size, 1) * _MAX_RATIO,
                "The entry would unpack to far more than it is.",
            ),
        )
        return next((FieldError("", "invalid_archive_entry", text) for is_so, text in complaints if is_so), None)


def _check_directory(file: BinaryIO, limits: ArchiveLimits) -> None:
    """Bound what `zipfile` reads at once and keeps: the directory's bytes, and the entries in them."""
    size = file.seek(0, SEEK_END)
    tail_bytes = min(size, _END_BYTES + _MAX_COMMENT_BYTES)
    file.seek(size - tail_bytes)
    tail = file.read(tail_bytes)
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise JobError("invalid_archive", "The file is no ZIP, or it is cut off.")
    (directory_bytes,) = struct.unpack_from("<L", tail, at + 12)
    end = size - tail_bytes + at
    directory_bytes = _zip64_directory_bytes(file, end) or directory_bytes
    most_bytes = limits.max_entries * _DIRECTORY_BYTES_PER_ENTRY
    if directory_bytes > most_bytes or directory_bytes > end:
        raise JobError("archive_too_large", f"The archive's directory is larger than {most_bytes} bytes.")
    count = _count_entries(file, end, directory_bytes)
    if count > limits.max_entries:
        raise JobError("archive_too_large", f"The archive has more than {limits.max_entries} entries.")


def _zip64_directory_bytes(file: BinaryIO, end: int) -> int | None:
    """The directory's size by the ZIP64 record, which stands with its locator right before the end record."""
    start = end - _ZIP64_RECORD_BYTES - _ZIP64_LOCATOR_BYTES
    if start < 0:
        return None
    file.seek(start)
    record, locator = file.read(_ZIP64_RECORD_BYTES), file.read(_ZIP64_LOCATOR_BYTES)
    if not record.startswith(b"PK\x06\x06") or not locator.startswith(b"PK\x06\x07"):
        return None
    (directory_bytes,) = struct.unpack_from("<Q", record, 40)
    return int(directory_bytes)


def _count_entries(file: BinaryIO, end: int, directory_bytes: int) -> int:
    """Signatures of entries in the stretch that can hold the directory: never fewer than there are entries."""
    file.seek(max(0, end - directory_bytes - 2 * _MAX_COMMENT_BYTES))
    return file.read(min(end, directory_bytes + 2 * _MAX_COMMENT_BYTES)).count(_ENTRY)


def _overlapping(infos: list[zipfile.ZipInfo]) -> set[int]:
    """Where entries begin inside another's bytes, or another inside theirs: one stream must not be unpacked twice."""
    found: set[int] = set()
    ordered = sorted(infos, key=lambda info: info.header_offset)
    for one, following in pairwise(ordered):
        if one.header_offset + max(one.compress_size, 1) > following.header_offset:
            found |= {one.header_offset, following.header_offset}
    return found


def _is_litter(name: str) -> bool:
    *folders, last = name.replace("\\", "/").split("/")
    return bool(_LITTER_FOLDERS.intersection(folders)) or last.startswith(".") or last.lower() in _LITTER_FILES


def _leaves(name: str) -> bool:
    """Whether a name, taken for a path, would lead out of the folder that it is unpacked to."""
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or parts[0] == "" or (len(parts[0]) == 2 and parts[0][1] == ":")  # noqa: PLR2004 - a drive
