"""Ranges of bytes (RFC 9110, section 14): one at a time."""

import re
from dataclasses import dataclass

from api.problems import ProblemError

_RANGE = re.compile(r"\s*bytes\s*=\s*(?P<first>[0-9]{0,19})\s*-\s*(?P<last>[0-9]{0,19})\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Span:
    """First and last byte, both of it."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """In bytes."""
        return self.last - self.first + 1


def read_range(header: str | None, size: int) -> Span | None:
    """The part of `size` bytes that a `Range` asks for; None for all of them.

    Another unit, several ranges and what is malformed are ignored, as the RFC lets a server do. `ProblemError`
    range_not_satisfiable where the range begins behind the end.
    """
    found = _RANGE.fullmatch(header or "")
    if found is None or not (found["first"] or found["last"]):
        return None
    if not found["first"]:  # the last n bytes
        first, last = max(0, size - int(found["last"])), size - 1
    else:
        first, last = int(found["first"]), min(int(found["last"] or size), size - 1)
        if found["last"] and int(found["last"]) < first:
            return None
    if first >= size:
        detail = f"The file has {size} bytes."
        raise ProblemError("range_not_satisfiable", detail, headers={"Content-Range": f"bytes */{size}"})
    return Span(first, last)
