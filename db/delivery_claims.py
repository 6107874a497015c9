"""Which deliveries a worker takes, by receiver."""

from hashlib import md5
from uuid import UUID

from db.fair_queues import FairQueues

DELIVERIES = FairQueues(
    "webhook_deliveries", "id", "status = 'pending'", "lane_md5", "last_notified_at", has_priority=False
)


def lane_of(endpoint_id: UUID | None, url: str | None) -> str:
    """What one slow receiver is known by: an endpoint's id in hexadecimal, or the authority of a URL."""
    if endpoint_id is not None:
        return endpoint_id.hex
    return url.split("/")[2].lower() if url and url.count("/") > 1 else ""


def lane_md5(endpoint_id: UUID | None, url: str | None) -> str:
    """As it stands in the row: lanes lie evenly, so a claim may begin at any of them."""
    return md5(lane_of(endpoint_id, url).encode(), usedforsecurity=False).hexdigest()
