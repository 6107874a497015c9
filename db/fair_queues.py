"""What an io worker takes of a table of errands: fair between keys, past busy hosts, never twice, at a bounded cost.

As `db.claims` takes jobs: everybody's first errand before anybody's second, the key that was served longest ago first,
within a key by lane, oldest due first. A lane is a queue per host, so that those of busy hosts cost nothing, however
long. Of a lane with very many hosts some are looked at, from a random one on, around.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.claims import WINDOW_FACTOR

# Lanes are sorted by queue too, which only the index of what is pending can do.
_SQL = """
WITH RECURSIVE lanes AS (
    (SELECT {lane} FROM {table} WHERE {pending} ORDER BY {lane}, {queue} LIMIT 1)
    UNION ALL
    SELECT next.* FROM lanes CROSS JOIN LATERAL (
        SELECT {lane} FROM {table} WHERE {pending} AND ({lane}) > ({this_lane})
        ORDER BY {lane}, {queue} LIMIT 1) AS next
),
candidates AS (
    SELECT oldest.id, oldest.due_at, {priority} AS priority, lanes.api_key_id, keys.{served} AS served_at,
           row_number() OVER (PARTITION BY {this_lane} ORDER BY oldest.due_at, oldest.id) = 1
               AND {priority} = :first AS leads
    FROM lanes JOIN api_keys AS keys ON keys.id = lanes.api_key_id CROSS JOIN LATERAL (
        WITH RECURSIVE onward AS (
            SELECT cast(:start AS text) AS queue
            UNION ALL
            SELECT next.queue FROM onward CROSS JOIN LATERAL (
                SELECT {queue} AS queue FROM {table}
                WHERE {pending} AND ({lane}) = ({this_lane}) AND {queue} > onward.queue
                ORDER BY {queue} LIMIT 1) AS next
        ),
        around AS (
            SELECT '' AS queue
            UNION ALL
            SELECT next.queue FROM around CROSS JOIN LATERAL (
                SELECT {queue} AS queue FROM {table}
                WHERE {pending} AND ({lane}) = ({this_lane}) AND {queue} > around.queue AND {queue} <= :start
                ORDER BY {queue} LIMIT 1) AS next
        )
        SELECT found.id, found.due_at FROM (
            SELECT queue FROM onward UNION ALL SELECT queue FROM around LIMIT :queues
        ) AS queues CROSS JOIN LATERAL (
            SELECT {id} AS id, due_at FROM {table}
            WHERE {pending} AND ({lane}) = ({this_lane}) AND {queue} = queues.queue AND due_at <= now()
            ORDER BY due_at, {id} LIMIT (SELECT greatest(4, :window / count(*)) FROM lanes)) AS found
        WHERE queues.queue <> ALL (ARRAY(SELECT md5(host) FROM unnest(cast(:busy AS text[])) AS host))
        LIMIT (SELECT 16 * greatest(4, :window / count(*)) FROM lanes)
    ) AS oldest
),
turns AS (
    SELECT id, due_at, priority, served_at,
           row_number() OVER (PARTITION BY api_key_id ORDER BY leads DESC, priority, due_at, id) AS turn
    FROM candidates
),
ranked AS (
    SELECT id, row_number() OVER (ORDER BY turn, served_at NULLS FIRST, priority, due_at, id) AS place
    FROM turns ORDER BY place LIMIT :window
),
chosen AS (SELECT array_agg(id ORDER BY place) AS ids FROM ranked)
SELECT {id} FROM {table}
WHERE {id} = ANY ((SELECT ids FROM chosen)::uuid[]) AND {pending} AND due_at <= now()
ORDER BY array_position((SELECT ids FROM chosen), {id}) LIMIT :limit FOR UPDATE SKIP LOCKED
"""
_QUEUES = 1000  # looked at in a lane, until sixteen hosts' worth of due errands is found


@dataclass(frozen=True)
class FairQueues:
    """A table of errands: `pending` is the condition of its claim index, which begins with lane, queue and due time.

    `queue`: the column with the md5 of a host, so that hosts lie evenly; `served`: the column of `api_keys` that says
    when a key had its last turn; `has_priority`: whether a key has a lane for each priority, or one alone.
    """

    table: str
    id: str
    pending: str
    queue: str
    served: str
    has_priority: bool

    @property
    def sql(self) -> str:
        """The statement of a claim; see `bound`."""
        lane = ("priority", "api_key_id") if self.has_priority else ("api_key_id",)
        return _SQL.format(
            table=self.table,
            id=self.id,
            pending=self.pending,
            queue=self.queue,
            served=self.served,
            lane=", ".join(lane),
            this_lane=", ".join(f"lanes.{column}" for column in lane),
            priority="lanes.priority" if self.has_priority else "0",
        )

    def lock_due(self, session: Session, *, limit: int, busy: Collection[str] = (), first: int = 0) -> Sequence[UUID]:
        """Lock up to `limit` due errands until commit, best first. Those of `busy` hosts are left.

        Of a key the oldest of lane `first` leads.
        """
        return session.scalars(text(self.sql), bound(limit, busy, first)).all()


def bound(limit: int, busy: Collection[str], first: int = 0) -> dict[str, Any]:
    """Values of a claim's parameters; it begins at a random host."""
    amounts = {"limit": limit, "window": limit * WINDOW_FACTOR, "queues": _QUEUES, "first": first}
    return {**amounts, "start": uuid4().hex, "busy": list(busy)}
