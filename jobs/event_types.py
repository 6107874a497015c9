"""The names of events, and which of them a filter lets through. Pure."""

from collections.abc import Iterable

QUEUED = "job.queued"
PROCESSING = "job.processing"
PING = "endpoint.ping"
"""A test of an endpoint; no filter asks for it, and none keeps it away."""

# On the way, not the end: made only where an endpoint asks for them.
PROGRESS = (QUEUED, PROCESSING)
ENDS = (
    "job.succeeded",
    "job.failed",
    "job.canceled",
    "job.expired",
    "batch.completed",
    "batch.failed",
    "batch.canceled",
    "batch.expired",
)


def lets_through(filters: Iterable[str], event_type: str) -> bool:
    """Whether an endpoint with these filters is told of an event of this type."""
    kind = event_type.partition(".")[0]
    return any(entry in {event_type, f"{kind}.*", "*"} for entry in filters)
