"""How far a batch is, and when it will be done, by the throughput that was measured. Pure."""

import math
from datetime import datetime, timedelta

_MEMORY_S = 60.0
"""What was measured longer ago than this counts for little."""


def smoothed_rate(previous: float | None, ended: int, seconds: float) -> float | None:
    """Jobs that end in a second: the rate so far and the last `seconds`, weighted by time. None until one has ended."""
    if seconds <= 0 or (previous is None and ended <= 0):
        return previous
    latest = max(0, ended) / seconds
    if previous is None:
        return latest
    weight = 1 - math.exp(-seconds / _MEMORY_S)
    return previous + weight * (latest - previous)


def progress(ended: int, total: int) -> float:
    """The share of jobs that have ended, 0 to 1."""
    return round(ended / total, 4) if total else 0.0


def estimate(left: int, rate_per_s: float | None, at: datetime | None) -> datetime | None:
    """When the jobs that are left will have ended at this rate; None while there is no telling."""
    if at is None or not rate_per_s or left <= 0:
        return None
    seconds = left / rate_per_s
    return at + timedelta(seconds=seconds) if seconds < timedelta(days=365).total_seconds() else None
