"""Deadlines, lanes, dedupe and retention of single submissions; filters of the list."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, func, select, text, update

from config.settings import Settings
from db.base import JobStatus, Verdict
from db.jobs import JobFilter
from db.key_models import ApiKey
from db.models import Job
from db.session import Sessions
from jobs import claiming, fetching
from jobs.ids import job_public_id, new_id, parse_job_id
from jobs.values import StoredInput
from tests.integration.api.support import TERMS, finish, photo, stored, submit


def post(client: TestClient, body: bytes | None = None, **options: str) -> httpx.Response:
    return client.post("/v1/jobs", files={"image_file": ("mug.jpg", body or photo())}, data=options)


def error_of(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["code"]


def test_a_deadline_is_shown_in_utc(client: TestClient) -> None:
    job = submit(client, expires_in="15m", priority="bulk")
    away = datetime.fromisoformat(job["deadline"]) - datetime.now(UTC)
    assert timedelta(minutes=14) < away <= timedelta(minutes=15)
    assert job["priority"] == "bulk"
    plain = submit(client)
    assert (plain["deadline"], plain["priority"]) == (None, "normal")


def test_the_header_is_a_field_like_the_others(client: TestClient) -> None:
    body = {"image_url": "https://shop.example/mug.jpg"}
    job = client.post("/v1/jobs", json=body, headers={"Cancel-After": "1m"}).json()
    assert job["deadline"] is not None
    both = client.post("/v1/jobs", json={**body, "expires_in": 60}, headers={"Cancel-After": "1m"})
    assert error_of(both) == (422, "invalid_deadline")
    assert error_of(client.post("/v1/jobs", json=body, headers={"Cancel-After": "soon"})) == (422, "invalid_deadline")


def test_the_same_photo_and_options_are_one_job(client: TestClient, files: Path) -> None:
    first = post(client, labels='{"sku": "1"}')
    again = post(client, dedupe="reuse", labels='{"sku": "2"}')
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert len(stored(files)) == 1
    assert post(client).json()["id"] != first.json()["id"]  # nobody asked to reuse
    assert post(client, dedupe="reuse", background="white").status_code == 202  # other options
    assert post(client, photo("PNG"), dedupe="reuse").status_code == 202  # another photo


def test_what_is_reused_is_good_to_have(
    client: TestClient, stranger: TestClient, sessions: Sessions, settings: Settings
) -> None:
    job = submit(client)
    assert post(stranger, dedupe="reuse").status_code == 202  # another key's
    hooked = post(client, dedupe="reuse", webhook_url="https://shop.example/hook")
    assert hooked.status_code == 202  # nobody would be told by the first
    client.delete(hooked.json()["urls"]["self"])
    finish(sessions, settings)
    reply = post(client, dedupe="reuse")
    assert (reply.status_code, reply.json()["id"], reply.json()["status"]) == (200, job["id"], "succeeded")
    assert "retry-after" not in reply.headers
    with sessions.begin() as session:
        job_id = parse_job_id(job["id"])
        failed = {"status": JobStatus.FAILED, "error_code": "job_broke"}
        session.execute(update(Job).where(Job.id == job_id).values(**failed))
    assert post(client, dedupe="reuse").status_code == 202


def test_many_at_once_make_one_job(client: TestClient, sessions: Sessions, files: Path) -> None:
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda _: post(client, dedupe="reuse"), range(12)))
    assert sorted(reply.status_code for reply in replies) == [200] * 11 + [202]
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert len(stored(files)) == 1
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 1


def test_a_url_cannot_be_compared(client: TestClient) -> None:
    reply = client.post("/v1/jobs", json={"image_url": "https://shop.example/mug.jpg", "dedupe": "reuse"})
    assert error_of(reply) == (422, "invalid_option")


def test_the_same_bytes_behind_two_urls_are_looked_at_once(
    client: TestClient, stranger: TestClient, sessions: Sessions, settings: Settings
) -> None:
    """Two jobs, one matte; not for other options of the matte, and not for another key."""
    url = "https://shop.example/mug.jpg"
    asked = [
        (client, {"image_url": url}, False),
        (client, {"image_url": f"{url}?copy", "background": "white"}, True),
        (client, {"image_url": url, "existing_alpha": "ignore"}, False),
        (stranger, {"image_url": url}, False),
    ]
    for who, body, is_reused in asked:
        job = who.post("/v1/jobs", json=body).json()
        with sessions.begin() as session:
            [fetch] = fetching.claim(session, limit=1, lease_s=60)
            photo_ = StoredInput(f"jobs/{fetch.job_id.hex}/input", "5" * 64, 1000, "jpeg", 40, 30)
            assert fetching.arrive(session, fetch, photo_, fetch_ms=1)
        with sessions() as session:  # looked at, and rolled back
            [claimed] = claiming.claim(session, TERMS, limit=1, megapixels=1e6)
        assert (job_public_id(claimed.id), claimed.matte is not None) == (job["id"], is_reused)
        finish(sessions, settings)


def test_retention_is_the_keys_or_shorter(
    client: TestClient, sessions: Sessions, settings: Settings, files: Path
) -> None:
    with sessions.begin() as session:
        session.execute(update(ApiKey).values(files_retention=timedelta(days=2)))
    kept, short = submit(client), submit(client, retention="1h")
    assert error_of(post(client, retention="3d")) == (422, "invalid_retention")
    assert len(stored(files)) == 2
    finish(sessions, settings)
    for job, days in ((kept, timedelta(days=2)), (short, timedelta(hours=1))):
        shown = client.get(job["urls"]["self"]).json()
        assert datetime.fromisoformat(shown["expires_at"]) - datetime.fromisoformat(shown["completed_at"]) == days


def seed(sessions: Sessions) -> dict[str, str]:
    """Jobs of the one key that tell themselves apart, by a name."""
    with sessions.begin() as session:
        jobs = list(session.scalars(select(Job).order_by(Job.id)))
        names = {}
        for job, name in zip(jobs, ("plain", "failed", "review", "old"), strict=True):
            names[name] = job_public_id(job.id)
        by_name = {name: parse_job_id(public_id) for name, public_id in names.items()}
        done = {"status": JobStatus.SUCCEEDED, "completed_at": func.now(), "due_at": None}
        changes = {
            "failed": {**done, "status": JobStatus.FAILED, "error_code": "job_broke"},
            "review": {**done, "verdict": Verdict.REVIEW, "model_version": "unet-fast@1"},
            "old": {"created_at": func.now() - timedelta(minutes=30), "labels": {"sku": "MUG-1", "shop": "a:b"}},
        }
        for name, values in changes.items():
            session.execute(update(Job).where(Job.id == by_name[name]).values(**values))
    return names


def test_each_filter_finds_its_jobs(client: TestClient, stranger: TestClient, sessions: Sessions) -> None:
    for _ in range(4):
        submit(client)
    names = seed(sessions)
    shown = {public_id: name for name, public_id in names.items()}
    past = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()

    def found(**query: object) -> list[str]:
        reply = client.get("/v1/jobs", params=query)
        assert reply.status_code == 200, reply.text
        return [shown[job["id"]] for job in reply.json()["data"]]

    assert found() == ["old", "review", "failed", "plain"]
    assert found(status="failed") == ["failed"]
    assert found(verdict="review") == ["review"]
    assert found(model="unet-fast@1") == ["review"]
    assert found(created_before=past) == ["old"]
    assert found(created_after=past) == ["review", "failed", "plain"]
    assert found(label="sku:MUG-1") == found(sku="MUG-1") == found(label=["shop:a:b", "sku:MUG-1"]) == ["old"]
    assert found(sku="MUG") == []
    assert found(status="succeeded", verdict="pass") == []
    assert found(status="succeeded", verdict="review", model="unet-fast@1", created_after=past) == ["review"]
    assert found(batch_id="batch_" + new_id().hex) == []
    assert stranger.get("/v1/jobs", params={"sku": "MUG-1"}).json()["data"] == []


def test_filters_go_along_to_the_next_page(client: TestClient) -> None:
    for _ in range(3):
        submit(client, labels='{"sku": "A", "shop": "x"}')
    query = {"label": ["sku:A", "shop:x"], "status": "queued", "limit": 2}
    first = client.get("/v1/jobs", params=query)
    assert len(first.json()["data"]) == 2
    following = client.get(first.links["next"]["url"])
    assert len(following.json()["data"]) == 1
    assert "label=sku%3AA&label=shop%3Ax" in first.links["next"]["url"]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"label": "sku"}, 422, "invalid_label"),
        ({"label": ":x"}, 422, "invalid_label"),
        ({"label": ["sku:1"], "sku": "2"}, 422, "invalid_label"),
        ({"sku": "\x00"}, 422, "invalid_label"),
        ({"created_after": "2026-11-24T00:00:00"}, 422, "invalid_request"),
        ({"verdict": "good"}, 422, "invalid_request"),
        ({"batch_id": "job_1"}, 404, "not_found"),
    ],
)
def test_bad_filters_are_named(client: TestClient, query: dict[str, object], status: int, code: str) -> None:
    assert error_of(client.get("/v1/jobs", params=query)) == (status, code)


def _explain(_connection, _cursor, statement: str, parameters, _context, _many) -> tuple[str, object]:
    return f"EXPLAIN {statement}", parameters


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (JobFilter(), "ix_jobs_list"),
        (JobFilter(status=JobStatus.FAILED), "ix_jobs_list_status"),
        (JobFilter(verdict=Verdict.REVIEW), "ix_jobs_list_verdict"),
        (JobFilter(model="unet-fast@2"), "ix_jobs_list_model"),
        (JobFilter(labels={"sku": "S-17"}), "ix_jobs_labels"),
        (JobFilter(created_after=datetime(2026, 1, 1, tzinfo=UTC)), "ix_jobs_list"),
        (JobFilter(created_before=datetime(2026, 1, 1, tzinfo=UTC)), "ix_jobs_list"),
        (JobFilter(batch_id=UUID(int=7)), "_jobs_"),
        (JobFilter(status=JobStatus.FAILED, labels={"sku": "S-17"}), "ix_jobs_list_status"),
    ],
)
def test_each_filter_is_served_by_an_index(
    client: TestClient, sessions: Sessions, wanted: JobFilter, index: str
) -> None:
    submit(client)
    with sessions.begin() as session:
        columns = "api_key_id, params, input_key"
        session.execute(
            text(
                f"INSERT INTO jobs (id, {columns}, status, completed_at, verdict, model_version, labels) "
                f"SELECT gen_random_uuid(), {columns}, 'succeeded', now(), 'pass', 'unet-fast@1', "
                "jsonb_build_object('sku', 'S-' || n) FROM jobs, generate_series(1, 3000) AS n"
            )
        )
    with sessions.begin() as session:
        session.execute(text("ANALYZE jobs"))
        key_id = session.scalars(select(ApiKey.id)).first()
        query = select(Job.id).where(Job.api_key_id == key_id, Job.deleted_at.is_(None), *wanted.clauses())
        query = query.order_by(Job.id.desc()).limit(21)
        connection = session.connection()
        event.listen(connection, "before_cursor_execute", _explain, retval=True)
        plan = "\n".join(str(line) for line in connection.scalars(query))
    assert index in plan, plan
    assert "Seq Scan" not in plan, plan
