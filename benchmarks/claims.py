"""A claim of 32 jobs: `python -m benchmarks.claims [rows]` compares many queued rows with a thousand.

The rows are queued jobs of a hundred keys, in three lanes each; 1,000,000 by default.
`jobs.claiming.claim` runs in transactions that are rolled back, which the next one finds as it was, and in such as are
committed, as workers do: those leave dead rows behind, and nobody vacuums meanwhile.
"""

import sys
from contextlib import suppress

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.servers import p50_p95, servers, time_ms
from db.session import Sessions, build_engine, build_sessions
from jobs import keys
from jobs.claiming import Terms, claim
from jobs.params import JobParams

_KEYS = 100
_FEW = 1000
_CLAIM = 32
_ROLLED_BACK = 60
_COMMITTED = 30  # claims leave something of a thousand rows
_PARAMS = Jsonb(JobParams(model="unet-fast").to_json())
_FILL = """
INSERT INTO jobs (id, api_key_id, status, priority, params, input_key, input_sha256, input_width, input_height,
                  created_at, due_at)
SELECT gen_random_uuid(), (SELECT ids.id FROM unnest(%(keys)s::uuid[]) WITH ORDINALITY AS ids (id, n)
                           WHERE ids.n = 1 + g %% %(many)s),
       'queued', (ARRAY[0, 1, 1, 1, 2])[1 + g / %(many)s %% 5],
       %(params)s, 'jobs/x/input', md5(g::text), 1000, 1000,
       now() - interval '1 hour', now() - g * interval '1 millisecond'
FROM generate_series(1, %(rows)s) AS g
"""


class _RollBack(Exception):  # noqa: N818 - no error
    """The claim is not kept."""


def main(rows: int) -> None:
    terms = Terms(worker="bench", lease_s=60, resolve=lambda _model: ("unet-fast@1", "bench"))
    with servers() as settings:
        engine = build_engine(settings.require_database_url())
        sessions = build_sessions(engine)
        with sessions.begin() as session:
            key_ids = [keys.create(session, f"key {n}").id for n in range(_KEYS)]
        found = {}
        with psycopg.connect(settings.require_database_url(), autocommit=True) as connection:
            connection.execute("ALTER TABLE jobs SET (autovacuum_enabled = off)")
            for amount in (_FEW, rows):
                connection.execute("TRUNCATE jobs CASCADE")
                connection.execute(_FILL, {"keys": key_ids, "many": _KEYS, "rows": amount, "params": _PARAMS})
                connection.execute("VACUUM ANALYZE jobs")
                found[amount] = (
                    measure(sessions, terms, _ROLLED_BACK, is_kept=False),
                    measure(sessions, terms, _COMMITTED, is_kept=True),
                )
        engine.dispose()
    for at, name in enumerate(("rolled back", "committed")):
        few, many = found[_FEW][at], found[rows][at]
        for amount, (p50, p95) in ((_FEW, few), (rows, many)):
            print(f"{name}, {amount} queued: p50 {p50:.1f} ms, p95 {p95:.1f} ms")
        print(f"{name}: ratio of p50 {many[0] / few[0]:.2f}")


def measure(sessions: Sessions, terms: Terms, rounds: int, *, is_kept: bool) -> tuple[float, float]:
    def once() -> None:
        with suppress(_RollBack), sessions.begin() as session:
            claimed = claim(session, terms, limit=_CLAIM, megapixels=1e6)
            if len(claimed) != _CLAIM:
                message = f"claimed {len(claimed)} of {_CLAIM}"
                raise RuntimeError(message)
            if not is_kept:
                raise _RollBack

    once()
    return p50_p95([time_ms(once) for _ in range(rounds)])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
