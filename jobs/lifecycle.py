"""The states of a job and the ways between them. Pure: the effects are in `db.jobs` and `jobs.service`.

queued -> processing -> succeeded
  |  ^        |------> failed
  |  |________|        (released, lease expired, passing fault)
  |-----------|------> canceled, expired
  |------------------> failed   (its photo can't be fetched)
"""

import random
from datetime import timedelta

from db.base import JobStatus

TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset(
        {JobStatus.PROCESSING, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED},
    ),
    JobStatus.PROCESSING: frozenset(
        {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.QUEUED, JobStatus.CANCELED, JobStatus.EXPIRED},
    ),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELED: frozenset(),
    JobStatus.EXPIRED: frozenset(),
}
FINAL = frozenset(status for status, ways in TRANSITIONS.items() if not ways)


def sources(to: JobStatus) -> frozenset[JobStatus]:
    """The statuses that a job may leave for `to`."""
    return frozenset(status for status, ways in TRANSITIONS.items() if to in ways)


def retry_delay(retries: int, *, base_s: float, rng: random.Random) -> timedelta:
    """Pause before try `retries` + 1 after a passing fault: doubles each time, up to ten minutes, +-20 % jitter."""
    return timedelta(seconds=min(base_s * 2**retries, 600.0) * rng.uniform(0.8, 1.2))


STORAGE_AWAY = "storage_unavailable"
OUTAGES = frozenset({STORAGE_AWAY, "database_unavailable"})
"""Codes of faults that are no job's own: whoever meets them is put back, and they count against nobody."""


def outage_delay(outages: int, *, base_s: float, rng: random.Random) -> timedelta:
    """Pause of what a part of the service that is away put back `outages` times before, the last times in a row.

    2 to 4 times the base at first, spread out; it doubles each time, up to ten minutes +-33 %.
    """
    return timedelta(seconds=min(base_s * 2 ** min(outages, 16), 200.0) * rng.uniform(2.0, 4.0))
