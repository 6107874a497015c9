"""Polling a job: `python -m benchmarks.polling [rows]` prints p50 and p95 of GET /v1/jobs/{id} over HTTP.

One API process, one client on one connection, with and without `If-None-Match`, on a database with that many jobs
(1,000,000 by default); `/healthz`, which asks nobody, beside it. CPU is that of the API process a request.
"""

import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil
import psycopg

from cli.embedded import EmbeddedBroker, EmbeddedDatabase
from config.settings import Settings
from db.migrate import upgrade
from jobs.ids import job_public_id
from tests.acceptance.stack import running_stack
from tests.factories import make_job

_ROUNDS = 500
_FILL = """
INSERT INTO jobs (id, api_key_id, status, params, completed_at)
SELECT gen_random_uuid(), %s, 'canceled', '{}', now() FROM generate_series(1, %s)
"""


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory(prefix="packshot-bench-") as folder:
        Path(folder).chmod(0o755)
        database, broker = EmbeddedDatabase(Path(folder, "postgres")), EmbeddedBroker(Path(folder, "valkey"))
        try:
            upgrade(database.url)
            settings = Settings(
                database_url=database.url, broker_url=broker.url, data_dir=Path(folder), log_level="warning"
            )
            with running_stack(settings, "api") as stack:
                with stack.sessions.begin() as session:
                    job_id = job_public_id(make_job(session, stack.key.id).id)
                with psycopg.connect(database.url, autocommit=True) as connection:
                    connection.execute(_FILL, (stack.key.id, rows))
                    connection.execute("ANALYZE jobs")
                page = f"/v1/jobs/{job_id}"
                tag = stack.client.get(page).headers["etag"]
                api = psutil.Process(stack.pids("api")[0])
                for name, path, headers in (
                    ("health", "/healthz", {}),
                    ("200", page, {}),
                    ("304", page, {"If-None-Match": tag}),
                ):
                    before_s = sum(api.cpu_times()[:2])
                    took_ms = sorted(_time_ms(stack.client, path, headers) for _ in range(_ROUNDS))
                    cpu_ms = (sum(api.cpu_times()[:2]) - before_s) * 1000 / _ROUNDS
                    p50, p95 = took_ms[_ROUNDS // 2], took_ms[_ROUNDS * 95 // 100]
                    print(f"{name}: p50 {p50:.2f} ms, p95 {p95:.2f} ms, CPU {cpu_ms:.2f} ms ({rows} rows)")
        finally:
            broker.stop()
            database.stop()


def _time_ms(client: httpx.Client, page: str, headers: dict[str, str]) -> float:
    begun = time.perf_counter()
    client.get(page, headers=headers)
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
