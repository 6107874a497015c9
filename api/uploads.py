"""The body of a submission, read as a stream: nothing is held in memory beyond a chunk, limits bite at once.

A `Form` has text fields as they came, and the photo in a spooled file.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from api.base64_parts import Base64Part
from api.problems import ProblemError
from api.scratch import scratch_disk
from api.streams import MAX_TEXT_BYTES, discard, duplicate, limited, read_json

FILE_FIELD = "image_file"
_OVERHEAD_BYTES = 2 * MAX_TEXT_BYTES  # text and the headers of the parts
_MAX_PARTS = 32
_CHUNK_BYTES = 1 << 20


@dataclass
class Upload:
    """A photo as it came, spooled to disk beyond a mebibyte."""

    filename: str
    file: SpooledTemporaryFile[bytes]
    size_bytes: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def take(self, chunk: bytes) -> None:
        """Append, and hash on the way. `StorageUnavailableError` where the disk is full."""
        self.digest.update(chunk)
        with scratch_disk():
            self.file.write(chunk)
            self.file.flush()


def new_upload(filename: str = "") -> Upload:
    """Nothing so far."""
    return Upload(filename, SpooledTemporaryFile(max_size=_CHUNK_BYTES))  # closed by `Form.close`


@dataclass
class Form:
    """A body's fields; to be closed."""

    fields: dict[str, Any] = field(default_factory=dict)
    upload: Upload | None = None

    def fingerprint(self) -> str:
        """sha256 of what the form says: its fields in any order, and the photo by its own sha256."""
        photo = None if self.upload is None else [self.upload.filename, self.upload.digest.hexdigest()]
        return hashlib.sha256(json.dumps([self.fields, photo], sort_keys=True).encode()).hexdigest()

    def close(self) -> None:
        """Remove the spooled file."""
        if self.upload is not None:
            with suppress(OSError):  # what a full disk did not take is not wanted any more
                self.upload.file.close()


async def read_form(
    request: Request,
    *,
    max_file_bytes: int,
    file_field: str = FILE_FIELD,
    base64_field: str | None = None,
    unread: frozenset[str] = frozenset(),
) -> Form:
    """Read a submission: multipart with its file as `file_field` (or in base64 as `base64_field`), or JSON.

    Of files named in `unread` the form tells no more than that they were there.

    `ProblemError` unsupported_media_type, invalid_json, invalid_multipart, duplicate_field, body_too_large,
    file_too_large. `StorageUnavailableError` where the disk for uploads is full.
    """
    media_type, _ = parse_options_header(request.headers.get("content-type"))
    if media_type == b"application/json":
        return Form(await read_json(request))
    if media_type != b"multipart/form-data":
        raise ProblemError("unsupported_media_type", "Send multipart/form-data or application/json.")
    # Base64 has four bytes for three.
    limit = (max_file_bytes if base64_field is None else max_file_bytes // 3 * 4) + _OVERHEAD_BYTES
    try:
        return await _read_multipart(request, _Reader(max_file_bytes, file_field, base64_field, unread), limit)
    except ProblemError as problem:
        if problem.code == "file_too_large":
            await discard(request, limit)
        raise


async def _read_multipart(request: Request, reader: "_Reader", limit: int) -> Form:
    _, options = parse_options_header(request.headers["content-type"])
    try:
        parser = MultipartParser(options.get(b"boundary", b""), reader.callbacks())  # type: ignore[arg-type]
        async for chunk in limited(request, limit, "file_too_large"):
            parser.write(chunk)
            if len(reader.pending) >= _CHUNK_BYTES:
                await run_in_threadpool(reader.flush)
        await run_in_threadpool(reader.flush)
        reader.check_end()
    except FormParserError as error:
        reader.form.close()
        raise ProblemError("invalid_multipart", "The form is malformed.") from error
    except BaseException:
        reader.form.close()
        raise
    return reader.form


class _Reader:
    """Callbacks of the parser: collects text fields, spools the photo. The name of a part decides what it is."""

    def __init__(self, max_file_bytes: int, file_field: str, base64_field: str | None, unread: frozenset[str]) -> None:
        self.form = Form()
        self._file_field = file_field
        self._base64_field = base64_field
        self._unread = unread
        self._base64: Base64Part | None = None
        self._is_photo = False
        self.pending = bytearray()  # of the photo, not yet written
        self._is_complete = False
        self._max_file_bytes = max_file_bytes
        self._parts = 0
        self._text_bytes = 0
        self._header = (bytearray(), bytearray())
        self._disposition = b""
        self._name = ""
        self._text = bytearray()

    def callbacks(self) -> dict[str, Any]:
        """As python-multipart names them."""
        names = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end")
        return {f"on_{name}": getattr(self, f"_{name}") for name in (*names, "headers_finished", "end")}

    def flush(self) -> None:
        """Write what is pending; blocks on the disk. `StorageUnavailableError`."""
        if self.form.upload is not None and self.pending:
            self.form.upload.take(bytes(self.pending))
            self.pending.clear()

    def check_end(self) -> None:
        """Refuse a form that broke off."""
        if not self._is_complete:
            raise ProblemError("invalid_multipart", "The form has no end.")

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise ProblemError("invalid_multipart", f"The form has more than {_MAX_PARTS} parts.")
        self._disposition = b""
        self._text = bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = (bytearray(), bytearray())

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = _text(options.get(b"name", b""))
        if not self._name:
            raise ProblemError("invalid_multipart", "A part of the form has no name.")
        self._is_photo = self._name in (self._file_field, self._base64_field)
        if not self._is_photo:
            if self._name in self.form.fields:
                raise duplicate(self._name)
            return
        if self.form.upload is not None:
            raise ProblemError("multiple_sources", f"Send one {self._file_field}.")
        self._base64 = Base64Part() if self._name == self._base64_field else None
        self.form.upload = new_upload(_text(options.get(b"filename", b"")))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_photo:
            self._take(data[start:end] if self._base64 is None else self._base64.feed(data[start:end]))
            return
        if self._name in self._unread:
            return
        self._text_bytes += end - start
        if self._text_bytes > MAX_TEXT_BYTES:
            raise ProblemError("body_too_large", f"The form's fields are larger than {MAX_TEXT_BYTES} bytes.")
        self._text += data[start:end]

    def _part_end(self) -> None:
        if self._is_photo and self._base64 is not None:
            self._take(self._base64.end())
        elif not self._is_photo:
            self.form.fields[self._name] = "(a file)" if self._name in self._unread else _text(bytes(self._text))

    def _take(self, data: bytes) -> None:
        """A piece of the photo."""
        if self.form.upload is None:
            return
        self.form.upload.size_bytes += len(data)
        if self.form.upload.size_bytes > self._max_file_bytes:
            raise ProblemError("file_too_large", f"At most {self._max_file_bytes} bytes are accepted.")
        self.pending += data

    def _end(self) -> None:
        self._is_complete = True


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProblemError("invalid_multipart", "The form's text is not UTF-8.") from error
