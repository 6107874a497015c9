"""What a call does, as values: it is a generator that yields steps and is sent what came of them.

Everything that is decided is decided here and in the modules of calls; `Client` and `AsyncClient` only take the steps,
each in its own way. So there is one way of doing each thing, and it can be tested without a network.
"""

import io
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias, TypeVar

T = TypeVar("T")

FileSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
"""A file's path, its bytes, or a file open for reading bytes: all of it is sent, so it must be seekable."""


class Sink(Protocol):
    """Where a body is streamed to. `start` comes before each try, and forgets what an earlier one wrote."""

    def start(self) -> None:
        """Begin anew."""

    def write(self, chunk: bytes, /) -> None:
        """Take the next bytes."""


@dataclass(frozen=True)
class FilePart:
    """A file in a form; `open` opens it anew for each try."""

    field: str
    filename: str
    open: Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True)
class Request:
    """One HTTP request. `wait_s` is how long the service may hold it, on top of what a reply may take.

    A download (`into`) may be sent on to the service's store; the key stays with the service.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    file: FilePart | None = None
    into: Sink | None = None
    wait_s: float = 0.0

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be sent again when nobody knows what became of it."""
        return self.method in {"GET", "HEAD", "PUT", "DELETE"} or "Idempotency-Key" in self.headers


@dataclass(frozen=True)
class Reply:
    """What came back. `body` is empty where it went into a sink. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took_s: float
    attempt: int = 1

    @property
    def is_success(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the class of success


@dataclass(frozen=True)
class Broken:
    """No reply: the connection failed or broke off. `is_permanent` where the request can't be sent at all."""

    reason: str
    is_permanent: bool = False


@dataclass(frozen=True)
class Pause:
    """Wait for that long."""

    seconds: float


Step: TypeAlias = Request | Pause
Outcome: TypeAlias = Reply | Broken | None
Plan: TypeAlias = Generator[Step, Any, T]
"""A call: yields steps, is sent a `Reply` for each request and None for each pause, returns its result."""


def file_part(source: FileSource, *, field: str, filename: str | None = None) -> FilePart:
    """A file of a form. The name is the path's, unless given."""
    if isinstance(source, bytes):
        content = source
        return FilePart(field, filename or "photo", lambda: io.BytesIO(content))
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        return FilePart(field, filename or path.name, lambda: path.open("rb"))
    given = source
    if not given.seekable():
        raise ValueError("The file can't be read twice, so it could not be sent again; give its bytes.")
    name = getattr(given, "name", None)
    own = Path(name).name if isinstance(name, str) else "photo"
    # The caller's file stays open. httpx reads it from its start, each time.
    return FilePart(field, filename or own, lambda: nullcontext(given))
