"""Files in a bucket or container, through obstore: Amazon S3 and all that speaks like it, Google, Azure."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import BinaryIO, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store

from storage.object_reader import CHUNK_BYTES, ObjectReader
from storage.port import (
    NOT_SERVED,
    ObjectNotFoundError,
    Served,
    StorageUnavailableError,
    StoredObject,
    checked,
    is_key,
)

Bucket = S3Store | GCSStore | AzureStore | MemoryStore
Signer = S3Store | GCSStore | AzureStore

_PART_BYTES = 8 * 2**20  # of a larger file; each part is a request with its own time limit
_PARTS_AT_ONCE = 4
_LISTED_AT_ONCE = 1000
_CACHE_CONTROL = "private, no-cache"  # as the API says: what is deleted is gone at once

_OF_AN_OBJECT = ("read", "remove")
_STATUS = re.compile(r"status code: (\d{3} [A-Za-z ]+)")
_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_NO_BUCKET = re.compile(r"<Code>(NoSuchBucket|ContainerNotFound)</Code>")
_KIND = re.compile(r"kind: (Connect|Timeout|Request|Interrupted|Decode)\b")


class ObjectStorage:
    """`Storage` in a bucket, under the prefix that it was opened with. `signer` makes URLs; None where they may not be.

    An object is written whole or not at all: in one request, or in parts that one request joins at the end.
    """

    def __init__(self, bucket: Bucket, *, signer: Signer | None = None) -> None:
        self._bucket = bucket
        self._signer = signer

    def put(self, key: str, body: bytes | memoryview | BinaryIO, served: Served = NOT_SERVED) -> int:
        """See `Storage.put`."""
        checked(key)
        attributes: obstore.Attributes = {"Content-Type": served.content_type, "Cache-Control": _CACHE_CONTROL}
        if served.content_disposition is not None:
            attributes["Content-Disposition"] = served.content_disposition
        if isinstance(body, bytes | memoryview):
            self._put(key, body, attributes)
            return len(body)
        size = 0

        def parts(part: bytes) -> Iterator[bytes]:
            nonlocal size
            while part:
                size += len(part)
                yield part
                part = _read_part(body)

        with _told("write", key):
            first = _read_part(body)
        self._put(key, first if len(first) < _PART_BYTES else parts(first), attributes)
        return size or len(first)

    def _put(self, key: str, body: bytes | memoryview | Iterator[bytes], attributes: "obstore.Attributes") -> None:
        with _told("write", key):
            obstore.put(
                self._bucket,
                key,
                body,
                attributes=attributes,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )

    def open(self, key: str) -> BinaryIO:
        """See `Storage.open`."""
        checked(key)
        with _told("read", key):
            found = obstore.get(self._bucket, key)
            size = found.meta["size"]
            head = bytes(found.bytes()) if size <= CHUNK_BYTES else next(iter(found.stream(CHUNK_BYTES)))

        def fetch(start: int, length: int) -> bytes:
            with _told("read", key):
                return bytes(obstore.get_range(self._bucket, key, start=start, length=length))

        return cast("BinaryIO", io.BufferedReader(ObjectReader(fetch, size, head), buffer_size=2**16))

    def delete(self, key: str) -> None:
        """See `Storage.delete`."""
        checked(key)
        try:
            with _told("remove", key):
                obstore.delete(self._bucket, key)
        except ObjectNotFoundError:
            pass

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Storage.list`; a page at a time, so that it may take as long as it likes."""
        pages = iter(obstore.list(self._bucket, prefix.strip("/") or None, chunk_size=_LISTED_AT_ONCE))
        while True:
            with _told("list", prefix):
                page = next(pages, None)
            if page is None:
                return
            for found in page:
                if is_key(found["path"]):
                    yield StoredObject(found["path"], found["size"], found["last_modified"])

    def url(self, key: str, *, expires_in: timedelta) -> str | None:
        """See `Storage.url`. Signing asks no server, unless our own credentials are due for renewal."""
        checked(key)
        if self._signer is None:
            return None
        with _told("sign", key):
            return obstore.sign(self._signer, "GET", key, expires_in)

    def check(self) -> None:
        """See `Storage.check`."""
        key = f"health/check-{os.getpid()}"
        self.put(key, b"ok")
        self.delete(key)


def _read_part(body: BinaryIO) -> bytes:
    """A whole part; a shorter one is the last. A single read may bring less than there is."""
    part = bytearray()
    while piece := body.read(_PART_BYTES - len(part)):
        part += piece
    return bytes(part)


@contextmanager
def _told(verb: str, key: str) -> Iterator[None]:
    """Every error of obstore, or of the file that is stored, as one of the port.

    Its own text may hold a signed URL and what the server answered, so it is neither quoted nor chained.
    """
    try:
        yield
    except FileNotFoundError as error:
        if verb in _OF_AN_OBJECT and not _NO_BUCKET.search(str(error)):
            raise ObjectNotFoundError(key) from None
        reason = "404 Not Found, NoSuchBucket"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except BaseError as error:
        reason = _reason(error)
    else:
        return
    raise StorageUnavailableError(f"can't {verb} {key or 'files'}: {reason}") from None


def _reason(error: BaseError) -> str:
    """What went wrong, in words that hold no secret: the status, S3's code, the kind of failure."""
    text = str(error)
    found = [match[1].strip() for pattern in (_STATUS, _CODE, _KIND) if (match := pattern.search(text))]
    return ", ".join(found) or type(error).__name__
