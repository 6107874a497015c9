"""Traces across processes and hours: a context is text, stored with a job and gone on with by whoever works on it.

Off by default: then nothing is recorded, OpenTelemetry is not imported, and a caller's context is passed on as it came.
A span's parent is always named (there is no ambient one), as the work of one job moves between threads and machines.
The format is that of W3C Trace Context, https://www.w3.org/TR/trace-context/: a `traceparent` and, where the caller's
tracing system sent one, a space and its `tracestate`. All that is called `traceparent` here may have that at its end.
"""

import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self

from config.settings import Settings

Attributes = Mapping[str, str | int | float | bool]

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_INVALID = "ff"
_FLAGS = 0b11  # sampled, random trace id
_STATE_KEY = r"[a-z0-9][a-z0-9_*/-]{0,240}(@[a-z][a-z0-9_*/-]{0,13})?"
_STATE = re.compile(rf"({_STATE_KEY})=[ -+\--<>-~]{{0,255}}[!-+\--<>-~]")
_STATE_MEMBERS = 32
_STATE_CHARS = 512  # at least so many have to be passed on

CURRENT: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""The context of the request that is being answered."""


def parse_traceparent(header: str | None) -> str | None:
    """The context that a `traceparent` header names, as version 00 writes it; None where it is malformed.

    A later version may have more fields at its end, and flags that are not known here: both are left out.
    """
    found = _TRACEPARENT.fullmatch((header or "").strip(" \t"))
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == _INVALID or (more and version == "00") or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return f"00-{trace_id}-{span_id}-{int(flags, 16) & _FLAGS:02x}"


def parse_context(traceparents: Sequence[str], tracestates: Sequence[str]) -> str | None:
    """The context that a request's headers of the two names tell; None without exactly one good `traceparent`.

    A malformed `tracestate` is left out, of one that is too long its last members are, as the specification says.
    """
    parent = parse_traceparent(traceparents[0]) if len(traceparents) == 1 else None
    if parent is None:
        return None
    members = [member.strip(" \t") for header in tracestates for member in header.split(",")]
    found = [_STATE.fullmatch(member) for member in members if member]
    keys = {match[1] for match in found if match}
    if len(keys) < len(found) or len(found) > _STATE_MEMBERS:
        return parent
    state = ",".join(match[0] for match in found if match)
    while len(state) > _STATE_CHARS:
        state = state.rpartition(",")[0]
    return f"{parent} {state}" if state else parent


def headers_of(context: str | None) -> dict[str, str]:
    """The headers that pass a context on; none for none."""
    if context is None:
        return {}
    parent, _, state = context.partition(" ")
    return {"traceparent": parent, "tracestate": state} if state else {"traceparent": parent}


def trace_id_of(traceparent: str) -> str:
    """The id of its trace, 32 hexadecimal digits: what logs name."""
    return traceparent.split("-")[1]


def attributes_of(about: Mapping[str, object]) -> Attributes:
    """What a log tells of something, as attributes of a span of it."""
    return {f"packshot.{name}": value if isinstance(value, int) else str(value) for name, value in about.items()}


class Kind(StrEnum):
    """What a span is to the work beside it, as OpenTelemetry names it."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Span(Protocol):
    """Work that was begun; in a `with` it ends with the block, failed if that raised. May end in another thread."""

    @property
    def traceparent(self) -> str | None:
        """The context for what follows from this work; None where there is none to go on with."""

    def note(self, attributes: Attributes) -> None:
        """Say more of it."""

    def fail(self, error: str) -> None:
        """It goes wrong; `error` says why in a word: the code of a job's error, or the kind of an exception."""

    def end(self, *, name: str | None = None) -> None:
        """It is over; `name` replaces the one it began under."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None: ...


class Tracing(Protocol):
    """Begins spans; every method may be called from any thread."""

    @property
    def is_on(self) -> bool:
        """Whether anything is recorded."""

    def start(
        self,
        name: str,
        *,
        parent: str | None = None,
        kind: Kind = Kind.INTERNAL,
        links: Sequence[str | None] = (),
        attributes: Attributes | None = None,
    ) -> Span:
        """Begin work that belongs to `parent` (a trace of its own without one) and has to do with `links`."""

    def close(self) -> None:
        """Send what is recorded, for a few seconds at most."""


@dataclass(frozen=True)
class _SilentSpan:
    traceparent: str | None

    def note(self, attributes: Attributes) -> None: ...

    def fail(self, error: str) -> None: ...

    def end(self, *, name: str | None = None) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None: ...


class Silent:
    """Tracing that is off: contexts are passed on, nothing is recorded."""

    is_on = False

    def start(
        self,
        name: str,
        *,
        parent: str | None = None,
        kind: Kind = Kind.INTERNAL,
        links: Sequence[str | None] = (),
        attributes: Attributes | None = None,
    ) -> Span:
        """A span that is its parent. See `Tracing.start`."""
        del name, kind, links, attributes
        return _SilentSpan(parent)

    def close(self) -> None:
        """Nothing to send."""


def build_tracing(settings: Settings, service: str) -> Tracing:
    """Tracing as the settings say; `service` (api, gpu, io, sweeper) is what collectors show.

    `ValueError` where it is on and the packages of the extra `tracing` are missing.
    """
    if settings.otlp_url is None:
        return Silent()
    try:
        from config.otel import build  # noqa: PLC0415 - imported only where it is used
    except ModuleNotFoundError as error:
        message = f"PACKSHOT_OTLP_URL needs the extra `tracing`: no module {error.name}"
        raise ValueError(message) from error
    return build(settings.otlp_url, service)
