"""ZIPs made to hurt, judged by their directory."""

import io
import stat
import struct
import zipfile
from collections.abc import Callable

import pytest

from jobs.archive import Archive, ArchiveLimits
from jobs.errors import JobError
from tests.batches import zipped

LIMITS = ArchiveLimits(max_entries=10, max_entry_bytes=1000, max_total_bytes=5000)


def opened(data: bytes, limits: ArchiveLimits = LIMITS) -> Archive:
    return Archive(io.BytesIO(data), limits)


def problems(data: bytes) -> dict[str, str | None]:
    return {entry.name: entry.problem.detail if entry.problem else None for entry in opened(data).entries()}


def with_info(change: Callable[[zipfile.ZipInfo], None], body: bytes = b"photo") -> bytes:
    buffer = io.BytesIO()
    info = zipfile.ZipInfo("mug.jpg")
    change(info)
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, body)
    return buffer.getvalue()


def test_photos_folders_and_litter() -> None:
    data = zipped({"a/": b"", "a/mug.jpg": b"1", "__MACOSX/a/._mug.jpg": b"", "Thumbs.db": b"", "a/.hidden": b""})
    archive = opened(data)
    [entry] = archive.entries()
    assert (entry.number, entry.name, archive.read(entry)) == (1, "a/mug.jpg", b"1")


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x05\x06", b"PK\x03\x04" + b"x" * 100, zipped({"a": b"b"})[:-30]],
    ids=["empty", "end alone", "one entry's head", "cut off"],
)
def test_what_is_no_zip(data: bytes) -> None:
    with pytest.raises(JobError) as raised:
        opened(data)
    assert raised.value.code == "invalid_archive"


def test_a_directory_is_bounded_before_it_is_read() -> None:
    with pytest.raises(JobError, match="more than 10 entries") as raised:
        opened(zipped({f"{n}.jpg": b"" for n in range(11)}))
    assert raised.value.code == "archive_too_large"
    with pytest.raises(JobError, match="directory is larger") as raised:
        opened(zipped({"x" * 6000 + f"{n}.jpg": b"" for n in range(2)}))
    assert raised.value.code == "archive_too_large"


def test_a_lying_end_record_does_not_slip_past() -> None:
    """The record claims a small directory: then only so much is read, and it is no directory."""
    data = bytearray(zipped({f"{n}.jpg": b"" for n in range(30)}))
    end = data.rfind(b"PK\x05\x06")
    struct.pack_into("<L", data, end + 12, 46)
    with pytest.raises(JobError):
        opened(bytes(data))


def test_the_sum_of_all_is_bounded() -> None:
    with pytest.raises(JobError, match="at most 5000"):
        opened(zipped({f"{n}.jpg": b"x" * 900 for n in range(6)}))


def test_a_bomb_is_not_unpacked() -> None:
    data = zipped({"bomb.jpg": b"\x00" * 900_000}, zipfile.ZIP_DEFLATED)
    [entry] = opened(data, ArchiveLimits(10, 1000, 10**9)).entries()
    assert entry.problem is not None
    assert entry.problem.code == "file_too_large"
    ratio = bytearray(zipped({"bomb.jpg": b""}))
    at = ratio.find(b"PK\x01\x02")
    struct.pack_into("<L", ratio, at + 24, 1000 * 1000)
    [entry] = opened(bytes(ratio), ArchiveLimits(10, 10**9, 10**9)).entries()
    assert entry.problem is not None
    assert entry.problem.detail == "The entry would unpack to far more than it is."


def test_an_entry_that_lies_about_its_size_is_cut_and_refused() -> None:
    data = bytearray(zipped({"mug.jpg": b"x" * 500}, zipfile.ZIP_DEFLATED))
    at = data.find(b"PK\x01\x02")
    struct.pack_into("<L", data, at + 24, 5)
    archive = opened(bytes(data))
    [entry] = archive.entries()
    with pytest.raises(JobError, match="damaged"):
        archive.read(entry)


@pytest.mark.parametrize(
    "name", ["../mug.jpg", "a/../../mug.jpg", "/mug.jpg", "C:/mug.jpg", "..\\mug.jpg", "\\mug.jpg"]
)
def test_names_that_leave_the_archive(name: str) -> None:
    assert problems(zipped({name: b"1"})) == {name: "The entry's name leaves the archive."}


def test_links_and_odd_methods_and_encryption() -> None:
    def link(info: zipfile.ZipInfo) -> None:
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    def packed(info: zipfile.ZipInfo) -> None:
        info.compress_type = zipfile.ZIP_LZMA

    assert problems(with_info(link)) == {"mug.jpg": "The entry is a link or a device."}
    assert problems(with_info(packed)) == {"mug.jpg": "Only stored and deflated entries are taken."}
    data = bytearray(zipped({"mug.jpg": b"1"}))
    at = data.find(b"PK\x01\x02")
    data[at + 8] |= 1
    assert problems(bytes(data)) == {"mug.jpg": "The entry is encrypted."}


def test_entries_that_share_bytes() -> None:
    data = bytearray(zipped({"a.jpg": b"x" * 100, "b.jpg": b"x" * 100}))
    second = data.rfind(b"PK\x01\x02")
    struct.pack_into("<L", data, second + 42, 0)  # b's bytes are a's
    assert set(problems(bytes(data)).values()) == {"The entry shares its bytes with another."}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_entry_is_told(method: int) -> None:
    data = bytearray(zipped({"mug.jpg": bytes(range(200))}, method))
    data[60] ^= 0xFF
    archive = opened(bytes(data))
    [entry] = archive.entries()
    with pytest.raises(JobError, match="damaged"):
        archive.read(entry)
