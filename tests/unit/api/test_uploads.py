"""Bodies are read as streams: limits bite while they arrive, whatever the headers claim."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request

from api.problems import ProblemError
from api.uploads import Form, read_form
from storage.port import StorageUnavailableError

HEAD = b'--b\r\nContent-Disposition: form-data; name="image_file"; filename="a.jpg"\r\n\r\n'
LIMIT = 100_000


class Body:
    """Chunks as a server would hand them over; counts what was taken."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.taken = 0

    async def receive(self) -> dict[str, object]:
        chunk = next(self._chunks, None)
        if chunk is None:
            return {"type": "http.disconnect"}
        self.taken += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": True}


class LastChunk(Body):
    """A body whose first chunk is its last one."""

    async def receive(self) -> dict[str, object]:
        return {**await super().receive(), "more_body": False}


def read(body: Body, *headers: tuple[bytes, bytes], media_type: bytes = b"multipart/form-data; boundary=b") -> Form:
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", media_type), *headers]}
    return asyncio.run(read_form(Request(scope, body.receive), max_file_bytes=LIMIT))


def endless() -> Iterator[bytes]:
    yield HEAD
    while True:
        yield b"x" * 10_000


def whole(*chunks: bytes) -> Iterator[bytes]:
    """A body that ends; after its last chunk a server waits, which no test should reach."""
    yield from chunks
    while True:
        yield b""


@pytest.mark.parametrize("claim", [None, b"10", b"nonsense", b"-1"])
def test_an_endless_upload_ends_at_the_limit(claim: bytes | None) -> None:
    body = Body(endless())
    with pytest.raises(ProblemError, match="file_too_large"):
        read(body, *([(b"content-length", claim)] if claim else []))
    assert body.taken < 4 * LIMIT + 300_000  # up to the limit, and as much again thrown away so that the reply is seen


def test_a_client_that_asks_first_is_answered_before_it_sends() -> None:
    body = Body(endless())
    with pytest.raises(ProblemError, match="file_too_large"):
        read(body, (b"content-length", b"999999999"), (b"expect", b"100-continue"))
    assert body.taken == 0


def test_endless_json_ends_at_its_limit() -> None:
    body = Body(iter(lambda: b"[" * 10_000, None))
    with pytest.raises(ProblemError, match="body_too_large"):
        read(body, media_type=b"application/json")
    assert body.taken < 100_000


def test_endless_text_in_a_form_ends_at_its_limit() -> None:
    body = Body(iter([b'--b\r\nContent-Disposition: form-data; name="labels"\r\n\r\n', *[b"x" * 10_000] * 20]))
    with pytest.raises(ProblemError, match="body_too_large"):
        read(body)
    assert body.taken < 100_000


def test_a_body_that_breaks_off_is_no_upload() -> None:
    with pytest.raises(ClientDisconnect):
        read(Body(iter([HEAD, b"half a photo"])), (b"content-length", b"5000"))


def test_a_form_of_many_parts_is_refused() -> None:
    parts = b"".join(b'--b\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nx\r\n' % n for n in range(40))
    with pytest.raises(ProblemError, match="invalid_multipart"):
        read(Body(whole(parts)))


def test_a_field_given_twice_is_refused() -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="format"\r\n\r\npng\r\n'
    with pytest.raises(ProblemError, match="duplicate_field"):
        read(Body(whole(part * 2)))


@pytest.mark.parametrize("size", [10, 90_000])
def test_a_full_disk_is_told_as_such(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    full = Path("/dev/full")
    monkeypatch.setattr("api.uploads.SpooledTemporaryFile", lambda **_: full.open("wb", buffering=0))
    with pytest.raises(StorageUnavailableError, match="No space left"):
        read(LastChunk(iter([HEAD + b"x" * size + b"\r\n--b--\r\n"])))


@given(st.binary(max_size=3000), st.integers(1, 700))
def test_any_cut_of_the_stream_gives_the_same_file(photo: bytes, step: int) -> None:
    photo = photo.replace(b"\r\n--b", b"")
    text = b'\r\n--b\r\nContent-Disposition: form-data; name="background"\r\n\r\nwhite'
    raw = HEAD + photo + text + b"\r\n--b--\r\n"

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    pieces = [raw[i : i + step] for i in range(0, len(raw), step)]
    messages: list[dict[str, object]] = [{"type": "http.request", "body": p, "more_body": True} for p in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    scope = {"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=b")]}
    form = asyncio.run(read_form(Request(scope, receive), max_file_bytes=LIMIT))
    assert form.fields == {"background": "white"}
    assert form.upload is not None
    assert form.upload.size_bytes == len(photo)
    assert form.upload.digest.hexdigest() == hashlib.sha256(photo).hexdigest()
    form.upload.file.seek(0)
    assert form.upload.file.read() == photo
    form.close()
