"""Lengths of time as callers write them."""

import re
from datetime import timedelta

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_duration(given: str | int) -> timedelta:
    """Seconds, or a number with a unit: `90`, `90s`, `15m`, `24h`, `7d`. ValueError."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", str(given).strip())
    if not found:
        raise ValueError("a length of time is seconds or 90s, 15m, 24h, 7d")
    return timedelta(seconds=int(found[1]) * _UNITS_S[found[2]])
