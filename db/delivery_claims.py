"""Which deliveries a worker takes: fair between keys, past busy receivers, never twice, at a bounded cost."""

from collections.abc import Collection, Sequence
from hashlib import md5
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.claims import WINDOW_FACTOR

# As `db.outgoing` takes downloads, over `ix_webhook_deliveries_claim`: everybody's first event before anybody's second,
# the key that was served longest ago first, oldest due first. A key has a queue per receiver, so that those of busy
# ones cost nothing, however long. Of a key with very many receivers some are looked at, from a random one on, around.
# Keys are sorted by lane too, which only the index of what is pending can do: others hold all that was ever delivered.
DELIVERIES_SQL = """
WITH RECURSIVE keys AS (
    (SELECT api_key_id FROM webhook_deliveries WHERE status = 'pending' ORDER BY api_key_id, lane_md5 LIMIT 1)
    UNION ALL
    SELECT next.api_key_id FROM keys CROSS JOIN LATERAL (
        SELECT api_key_id FROM webhook_deliveries
        WHERE status = 'pending' AND webhook_deliveries.api_key_id > keys.api_key_id
        ORDER BY api_key_id, lane_md5 LIMIT 1) AS next
),
candidates AS (
    SELECT oldest.id, oldest.due_at, keys.api_key_id, api_keys.last_notified_at
    FROM keys JOIN api_keys ON api_keys.id = keys.api_key_id CROSS JOIN LATERAL (
        WITH RECURSIVE onward AS (
            SELECT cast(:start AS text) AS lane_md5
            UNION ALL
            SELECT next.lane_md5 FROM onward CROSS JOIN LATERAL (
                SELECT lane_md5 FROM webhook_deliveries
                WHERE status = 'pending' AND webhook_deliveries.api_key_id = keys.api_key_id
                  AND webhook_deliveries.lane_md5 > onward.lane_md5
                ORDER BY lane_md5 LIMIT 1) AS next
        ),
        around AS (
            SELECT '' AS lane_md5
            UNION ALL
            SELECT next.lane_md5 FROM around CROSS JOIN LATERAL (
                SELECT lane_md5 FROM webhook_deliveries
                WHERE status = 'pending' AND webhook_deliveries.api_key_id = keys.api_key_id
                  AND webhook_deliveries.lane_md5 > around.lane_md5 AND webhook_deliveries.lane_md5 <= :start
                ORDER BY lane_md5 LIMIT 1) AS next
        )
        SELECT found.id, found.due_at FROM (
            SELECT lane_md5 FROM onward UNION ALL SELECT lane_md5 FROM around LIMIT :lanes
        ) AS queues CROSS JOIN LATERAL (
            SELECT id, due_at FROM webhook_deliveries
            WHERE status = 'pending' AND webhook_deliveries.api_key_id = keys.api_key_id
              AND webhook_deliveries.lane_md5 = queues.lane_md5 AND due_at <= now()
            ORDER BY due_at, id LIMIT (SELECT greatest(4, :window / count(*)) FROM keys)) AS found
        WHERE queues.lane_md5 <> ALL (ARRAY(SELECT md5(lane) FROM unnest(cast(:busy AS text[])) AS lane))
        LIMIT (SELECT 16 * greatest(4, :window / count(*)) FROM keys)
    ) AS oldest
),
turns AS (
    SELECT id, due_at, last_notified_at,
           row_number() OVER (PARTITION BY api_key_id ORDER BY due_at, id) AS turn
    FROM candidates
),
ranked AS (
    SELECT id, row_number() OVER (ORDER BY turn, last_notified_at NULLS FIRST, due_at, id) AS place
    FROM turns ORDER BY place LIMIT :window
),
chosen AS (SELECT array_agg(id ORDER BY place) AS ids FROM ranked)
SELECT id FROM webhook_deliveries
WHERE id = ANY ((SELECT ids FROM chosen)::uuid[]) AND status = 'pending' AND due_at <= now()
ORDER BY array_position((SELECT ids FROM chosen), id) LIMIT :limit FOR UPDATE SKIP LOCKED
"""
_LANES = 1000  # looked at of a key, until sixteen receivers' worth of due events is found


def lane_of(endpoint_id: UUID | None, url: str | None) -> str:
    """What one slow receiver is known by: an endpoint's id in hexadecimal, or the authority of a URL."""
    if endpoint_id is not None:
        return endpoint_id.hex
    return url.split("/")[2].lower() if url and url.count("/") > 1 else ""


def lane_md5(endpoint_id: UUID | None, url: str | None) -> str:
    """As it stands in the row: lanes lie evenly, so a claim may begin at any of them."""
    return md5(lane_of(endpoint_id, url).encode(), usedforsecurity=False).hexdigest()


def lock_due(session: Session, *, limit: int, busy_lanes: Collection[str] = ()) -> Sequence[UUID]:
    """Lock up to `limit` due deliveries until commit, best first. Those of `busy_lanes` are left."""
    amounts = {"limit": limit, "window": limit * WINDOW_FACTOR, "lanes": _LANES}
    chosen = {"start": uuid4().hex, "busy": list(busy_lanes)}
    return session.scalars(text(DELIVERIES_SQL), {**amounts, **chosen}).all()
