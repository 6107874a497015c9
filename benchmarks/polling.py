"""Polling a job: `python -m benchmarks.polling [rows]` prints p50 and p95 of GET /v1/jobs/{id} over HTTP.

One API process, one client on one connection, with and without `If-None-Match`, on a database with that many jobs
(1,000,000 by default); `/healthz`, which asks nobody, beside it. CPU is that of the API process a request.
"""

import sys
from functools import partial

import psutil
import psycopg

from benchmarks.servers import cpu_ms, p50_p95, servers, time_ms
from jobs.ids import job_public_id
from tests.acceptance.stack import running_stack
from tests.factories import make_job

_ROUNDS = 500
_FILL = """
INSERT INTO jobs (id, api_key_id, status, params, completed_at)
SELECT gen_random_uuid(), %s, 'canceled', '{}', now() FROM generate_series(1, %s)
"""


def main(rows: int) -> None:
    with servers() as settings, running_stack(settings, "api") as stack:
        with stack.sessions.begin() as session:
            job_id = job_public_id(make_job(session, stack.key.id).id)
        with psycopg.connect(settings.require_database_url(), autocommit=True) as connection:
            connection.execute(_FILL, (stack.key.id, rows))
            connection.execute("VACUUM ANALYZE jobs")
            connection.execute("CHECKPOINT")  # or it is written to disk while the clock runs
        page = f"/v1/jobs/{job_id}"
        tag = stack.client.get(page).headers["etag"]
        api = psutil.Process(stack.pids("api")[0])
        for name, path, headers in (
            ("health", "/healthz", {}),
            ("200", page, {}),
            ("304", page, {"If-None-Match": tag}),
        ):
            before_ms = cpu_ms(api)
            p50, p95 = p50_p95([time_ms(partial(stack.client.get, path, headers=headers)) for _ in range(_ROUNDS)])
            cpu = (cpu_ms(api) - before_ms) / _ROUNDS
            print(f"{name}: p50 {p50:.2f} ms, p95 {p95:.2f} ms, CPU {cpu:.2f} ms ({rows} rows)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
