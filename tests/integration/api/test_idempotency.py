"""`Idempotency-Key`: the same request twice makes one job and gets one reply."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, text, update

from api.idempotency import commit_once
from db import idempotency as rows
from db.key_models import IdempotencyKey
from db.models import Job
from db.session import Sessions
from jobs.errors import JobError
from jobs.idempotency import Reply, Ticket, keep
from jobs.ids import new_id
from jobs.keys import IssuedKey
from tests.integration.api.support import photo, stored

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"


def post(client: TestClient, key: str | bytes = KEY, body: bytes | None = None, **options: str) -> httpx.Response:
    files = {"image_file": ("mug.jpg", body or photo())}
    return client.post("/v1/jobs", files=files, data=options, headers={"Idempotency-Key": key})


def count_jobs(sessions: Sessions) -> int:
    with sessions() as session:
        return session.scalars(select(func.count()).select_from(Job)).one()


def test_the_same_request_gets_the_same_reply(client: TestClient, sessions: Sessions, files: Path) -> None:
    first = post(client, background="white")
    assert first.status_code == 202
    assert "idempotent-replayed" not in first.headers
    with sessions.begin() as session:  # what has become of the job meanwhile changes nothing
        session.execute(update(Job).values(priority=2))
    again = post(client, background="white")
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert count_jobs(sessions) == 1
    assert len(stored(files)) == 1


def test_quotes_of_the_draft_are_no_part_of_the_key(client: TestClient) -> None:
    assert post(client, f'"{KEY}"').content == post(client, KEY).content


@pytest.mark.parametrize(
    ("body", "options"), [(photo("PNG"), {}), (None, {"background": "white"}), (None, {"labels": '{"sku": "1"}'})]
)
def test_another_request_under_the_key_is_refused(
    client: TestClient, sessions: Sessions, files: Path, body: bytes | None, options: dict[str, str]
) -> None:
    post(client)
    reply = post(client, body=body, **options)
    assert (reply.status_code, reply.json()["code"]) == (422, "idempotency_key_reused")
    assert count_jobs(sessions) == 1
    assert len(stored(files)) == 1


@pytest.mark.parametrize("given", ["", " ", '""', "k" * 256, "schl\u00fcssel".encode()])
def test_a_key_that_is_none_is_refused(client: TestClient, given: str | bytes) -> None:
    reply = post(client, given)
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_idempotency_key")


def test_the_longest_key(client: TestClient) -> None:
    assert post(client, "k" * 255).status_code == 202


def test_a_refused_request_is_not_stored(client: TestClient, sessions: Sessions) -> None:
    assert post(client, body=b"no photo").status_code == 415
    assert post(client, format="bmp").status_code == 422
    assert post(client).status_code == 202
    assert count_jobs(sessions) == 1


def test_keys_belong_to_a_caller_and_a_route(client: TestClient, stranger: TestClient, sessions: Sessions) -> None:
    mine, theirs = post(client).json(), post(stranger).json()
    assert mine["id"] != theirs["id"]
    key_id = _key_ids(sessions)[0]
    other_route = Ticket(key_id, "POST /v1/batches", KEY, "0" * 64)
    assert not commit_once(sessions, other_route, lambda _: Reply(202, {}, "{}", new_id())).is_replay


def _key_ids(sessions: Sessions) -> list:
    with sessions() as session:
        return list(session.scalars(select(IdempotencyKey.api_key_id)))


def test_fifty_at_once_make_one_job(client: TestClient, sessions: Sessions, files: Path) -> None:
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda _: post(client), range(50)))
    seen = Counter(reply.status_code for reply in replies)
    assert set(seen) <= {202, 409}
    assert len({reply.content for reply in replies if reply.status_code == 202}) == 1
    assert sum("idempotent-replayed" not in reply.headers for reply in replies if reply.status_code == 202) == 1
    for reply in replies:
        if reply.status_code == 409:
            assert reply.json()["code"] == "idempotency_in_flight"
            assert reply.json()["retryable"]
            assert "retry-after" in reply.headers
    assert count_jobs(sessions) == 1
    assert len(stored(files)) == 1


def test_while_the_first_is_not_committed_the_second_is_told_so(
    client: TestClient, key: IssuedKey, sessions: Sessions, files: Path
) -> None:
    with sessions.begin() as session:
        assert rows.try_lock(session, api_key_id=key.id, route="POST /v1/jobs", key=KEY)
        reply = post(client)
        assert (reply.status_code, reply.json()["code"]) == (409, "idempotency_in_flight")
    assert stored(files) == []
    assert post(client).status_code == 202


def test_the_unique_index_stands_behind_the_lock(key: IssuedKey, sessions: Sessions) -> None:
    ticket = Ticket(key.id, "POST /v1/jobs", KEY, "0" * 64)
    reply = Reply(202, {}, "{}", new_id())
    with sessions.begin() as session:
        keep(session, ticket, reply)
    with pytest.raises(JobError, match="idempotency_in_flight"), sessions.begin() as session:
        keep(session, ticket, reply)


def test_a_job_that_is_not_made_leaves_no_key(key: IssuedKey, sessions: Sessions) -> None:
    def fail(_: object) -> Reply:
        raise JobError("invalid_option", "no")

    with pytest.raises(JobError, match="invalid_option"):
        commit_once(sessions, Ticket(key.id, "POST /v1/jobs", KEY, "0" * 64), fail)
    assert _key_ids(sessions) == []


def test_a_broken_commit_stores_neither_key_nor_photo(client: TestClient, sessions: Sessions, files: Path) -> None:
    with sessions.begin() as session:
        session.execute(text("ALTER TABLE idempotency_keys ADD CONSTRAINT never CHECK (status = 0)"))
    assert post(client).status_code == 500
    assert (count_jobs(sessions), _key_ids(sessions), stored(files)) == (0, [], [])


def test_a_deleted_jobs_reply_tells_no_more_than_that(client: TestClient) -> None:
    job = post(client, labels='{"sku": "secret"}').json()
    client.delete(f"/v1/jobs/{job['id']}")
    again = post(client, labels='{"sku": "secret"}')
    assert again.json() == {"id": job["id"], "object": "job", "deleted": True}


def test_keys_are_kept_for_a_day_at_least(client: TestClient, sessions: Sessions) -> None:
    post(client)
    with sessions.begin() as session:
        assert rows.forget(session, older_than=timedelta(days=1), limit=10) == 0
        session.execute(update(IdempotencyKey).values(created_at=func.now() - timedelta(days=1, seconds=1)))
        assert rows.forget(session, older_than=timedelta(days=1), limit=10) == 1
    assert "idempotent-replayed" not in post(client).headers
