"""A thousand waiting clients on one API process: no thread and no database connection each, and no hold on a stop."""

import asyncio
import time
from collections.abc import Iterator

import psutil
import psycopg
import pytest

from config.settings import Settings
from jobs.ids import job_public_id
from tests.acceptance.stack import RunningStack, running_stack
from tests.factories import make_job

CLIENTS = 1000
# Threads: the forty that routes run in, and the libraries' own. Connections: the pool, full, the listener, and the one
# that the test itself keeps for its rows.
MOST_THREADS = 60
MOST_CONNECTIONS = 22
MOST_BUSY = 2


@pytest.fixture
def stack(settings: Settings) -> Iterator[RunningStack]:
    with running_stack(settings, "api") as stack:
        yield stack


def request(stack: RunningStack, page: str) -> bytes:
    return (
        f"GET {page} HTTP/1.1\r\nHost: packshot.example\r\nAuthorization: Bearer {stack.key.token}\r\n"
        "Connection: close\r\n\r\n"
    ).encode()


async def fetch(stack: RunningStack, page: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.settings.port)
    writer.write(request(stack, page))
    body = await reader.read(-1)
    writer.close()
    return body.decode()


async def all_wait(stack: RunningStack, count: int) -> None:
    deadline = time.monotonic() + 60
    while f"packshot_waiting_requests {float(count)}" not in await fetch(stack, "/metrics"):
        assert time.monotonic() < deadline, stack.log("api")[-2000:]
        await asyncio.sleep(0.2)


def pages(stack: RunningStack) -> list[str]:
    """A long-poll and a stream of each of ten jobs."""
    with stack.sessions.begin() as session:
        ids = [job_public_id(make_job(session, stack.key.id).id) for _ in range(10)]
    return [f"/v1/jobs/{job}{rest}" for job in ids for rest in ("?wait=60", "/events")]


def test_a_thousand_clients_wait(stack: RunningStack, database: str) -> None:
    async def run() -> list[str]:
        wanted = pages(stack)
        tasks = [asyncio.create_task(fetch(stack, wanted[n % len(wanted)])) for n in range(CLIENTS)]
        await all_wait(stack, CLIENTS)
        threads = psutil.Process(stack.pids("api")[0]).num_threads()
        with psycopg.connect(database) as connection:
            query = (
                "SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            # The last ones to come are counted as waiting a moment before they have let go of their connection.
            deadline = time.monotonic() + 30
            while (counts := connection.execute(query).fetchall()[0])[1] > MOST_BUSY and time.monotonic() < deadline:
                connection.rollback()  # a transaction sees one state of the statistics
                await asyncio.sleep(0.2)
            connections, busy = counts
            connection.execute("UPDATE jobs SET status = 'canceled', completed_at = now(), due_at = NULL")
        assert threads <= MOST_THREADS
        assert connections <= MOST_CONNECTIONS
        assert busy <= MOST_BUSY
        async with asyncio.timeout(60):
            return await asyncio.gather(*tasks)

    replies = asyncio.run(run())
    assert {reply.split("\r\n", 1)[0] for reply in replies} == {"HTTP/1.1 200 OK"}
    assert all('"status":"canceled"' in reply for reply in replies)
    assert sum("event: job.canceled" in reply for reply in replies) == CLIENTS // 2


def test_a_stop_ends_every_wait(stack: RunningStack) -> None:
    async def run() -> list[str]:
        tasks = [asyncio.create_task(fetch(stack, page)) for page in pages(stack)]
        left, writer = await asyncio.open_connection("127.0.0.1", stack.settings.port)
        writer.write(request(stack, pages(stack)[0]))
        await all_wait(stack, len(tasks) + 1)
        writer.close()  # a client that leaves ends its wait
        await all_wait(stack, len(tasks))
        begun = time.monotonic()
        await asyncio.to_thread(stack.stop, "api")
        assert time.monotonic() - begun < 5
        assert left.at_eof() or not await left.read(-1)
        return await asyncio.gather(*tasks)

    replies = asyncio.run(run())
    for page, reply in zip(("?wait=60", "/events") * 10, replies, strict=True):
        assert reply.startswith("HTTP/1.1 200 OK"), page
        assert '"status":"queued"' in reply, page
        assert reply.endswith("0\r\n\r\n") or page == "?wait=60"
    assert "Cancel" not in stack.log("api")
