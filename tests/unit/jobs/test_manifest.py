"""Manifests as people and programs write them, and as nobody should."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.batch_models import LineSource
from jobs.manifest import MAX_LINE_BYTES, RawLine, read_lines, sniff

KNOWN = ("custom_id", "image_url", "format", "labels")


def read(data: bytes, source: LineSource) -> list[RawLine]:
    return list(read_lines(io.BytesIO(data), source, KNOWN))


def codes(lines: list[RawLine]) -> list[tuple[int, list[str]]]:
    return [(line.number, [error.code for error in line.errors]) for line in lines]


@pytest.mark.parametrize(
    ("start", "name", "source"),
    [
        (b"PK\x03\x04...", "a.csv", LineSource.ZIP),
        (b'{"image_url": ""}', "a.txt", LineSource.JSONL),
        (b'\xef\xbb\xbf\n{"image_url": ""}', None, LineSource.JSONL),
        (b"not json", "a.JSONL", LineSource.JSONL),
        (b"custom_id,image_url", None, LineSource.CSV),
        (b"[{}]", "a.json", None),
        (b"\xff\xd8\xff\x00", "a.jpg", None),
    ],
)
def test_what_a_file_is(start: bytes, name: str | None, source: LineSource | None) -> None:
    assert sniff(start, name) is source


def test_json_lines() -> None:
    data = b'\xef\xbb\xbf{"custom_id": "a"}\r\n\n  \n{"custom_id": "\xc3\xa9"}'
    assert read(data, LineSource.JSONL) == [RawLine(1, {"custom_id": "a"}), RawLine(4, {"custom_id": "é"})]


def test_bad_json_lines_are_told_and_the_others_read() -> None:
    long = b'{"custom_id": "' + b"x" * MAX_LINE_BYTES + b'"}'
    deep = b"[" * 60_000
    half = b'{"\\ud800": 1}'
    data = b"\n".join(
        [b"{", b"[]", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"\xff", long, deep, b'{"custom_id": "ok"}', half]
    )
    lines = read(data, LineSource.JSONL)
    assert codes(lines) == [
        (1, ["invalid_json"]),
        (2, ["invalid_json"]),
        (3, ["duplicate_field"]),
        (4, ["invalid_json"]),
        (5, ["invalid_json"]),
        (6, ["line_too_long"]),
        (7, ["invalid_json"]),
        (8, []),
        (9, ["invalid_json"]),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_of_any_office(delimiter: str) -> None:
    rows = [
        "custom_id,image_url,labels.sku",
        '"a, b",https://x/1,7',
        ",,",
        '"two\nlines",https://x/2,',
        "c,https://x/3",
    ]
    table = "\r\n".join(rows).replace(",", delimiter).replace(f"a{delimiter}", "a,")
    assert read(table.encode(), LineSource.CSV) == [
        RawLine(2, {"custom_id": "a, b", "image_url": "https://x/1", "labels": {"sku": "7"}}),
        RawLine(4, {"custom_id": "two\nlines", "image_url": "https://x/2"}),
        RawLine(6, {"custom_id": "c", "image_url": "https://x/3"}),
    ]


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (b"", [(1, ["invalid_csv"])]),
        (b"custom_id,colour\na,b\n", [(1, ["unknown_field"])]),
        (b"custom_id,custom_id\na,b\n", [(1, ["duplicate_field"])]),
        (b"custom_id\na,b\nc\n", [(2, ["invalid_csv"]), (3, [])]),
        (b'custom_id\na\n"b\nc\nd\n', [(2, []), (5, ["invalid_csv"])]),
        (b"labels,labels.sku\n{},1\n", [(2, ["duplicate_field"])]),
        (b"custom_id\n" + b"x" * (MAX_LINE_BYTES + 1) + b"\na\n", [(2, ["invalid_csv"])]),
    ],
)
def test_bad_csv(table: bytes, found: list[tuple[int, list[str]]]) -> None:
    lines = read(table, LineSource.CSV)
    assert codes(lines) == found
    assert lines[-1].is_last == (found[-1][1] != [] and table[:7] != b"labels,")


def test_what_is_not_utf8_can_be_no_field() -> None:
    [line] = read(b"custom_id\nM\xfcG\x00\n", LineSource.CSV)
    assert line.fields == {"custom_id": "M\udcfcG\udc00"}


@given(st.binary(max_size=300), st.sampled_from([LineSource.JSONL, LineSource.CSV]))
def test_no_bytes_break_the_reader(data: bytes, source: LineSource) -> None:
    for line in read(b"custom_id,image_url\n" + data if source is LineSource.CSV else data, source):
        assert line.number > 0


@given(st.lists(st.dictionaries(st.sampled_from(KNOWN[:3]), st.text(max_size=20)), max_size=5))
def test_what_was_written_is_read(rows: list[dict[str, str]]) -> None:
    data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    assert [line.fields for line in read(data, LineSource.JSONL)] == rows
