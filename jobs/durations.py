"""Lengths of time as callers write them."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def _check_type(given: object) -> str | int:
    if isinstance(given, bool) or not isinstance(given, str | int):
        message = "text or a whole number"
        raise ValueError(message)  # noqa: TRY004 - pydantic tells of ValueErrors
    return given


Duration = Annotated[
    str | int, PlainValidator(_check_type), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]})
]
"""A field that `parse_duration` is to read."""


def parse_duration(given: str | int) -> timedelta:
    """Seconds, or a number with a unit: `90`, `90s`, `15m`, `24h`, `7d`. ValueError."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", str(given).strip())
    if not found:
        raise ValueError("a length of time is seconds or 90s, 15m, 24h, 7d")
    return timedelta(seconds=int(found[1]) * _UNITS_S[found[2]])
