"""Reading, listing, canceling, deleting and downloading; and nothing of it for another key."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from sqlalchemy import func, select, update

from config.settings import Settings
from db import purging
from db.base import JobStatus
from db.models import Job
from db.session import Sessions
from db.webhook_models import WebhookEvent
from jobs.ids import parse_job_id
from tests.integration.api.support import CUTOUT, MATTE, finish, stored, submit


def test_a_finished_job_shows_all_there_is(client: TestClient, sessions: Sessions, settings: Settings) -> None:
    queued = submit(client, labels='{"sku": "MUG-1"}')
    polled = client.get(queued["urls"]["self"])
    assert polled.headers["retry-after"] == "1"
    finish(sessions, settings)
    reply = client.get(queued["urls"]["self"])
    job = reply.json()
    assert "retry-after" not in reply.headers
    assert (job["status"], job["verdict"], job["reasons"], job["error"]) == ("succeeded", "pass", [], None)
    assert (job["model"], job["runtime"], job["attempt"]) == ("unet-fast@1", "torch", 1)
    assert job["metrics"]["infer_ms"] == 5
    [output] = job["outputs"]
    assert output["url"] == f"{job['urls']['self']}/outputs/cutout"
    assert (output["name"], output["format"], output["bytes"]) == ("cutout", "png", len(CUTOUT))
    assert (job["matte"]["bytes"], job["matte"]["format"]) == (len(MATTE), "png")
    lives = datetime.fromisoformat(job["expires_at"]) - datetime.fromisoformat(job["completed_at"])
    assert lives == settings.files_retention


def test_a_failed_job_shows_its_problem(client: TestClient, sessions: Sessions) -> None:
    job = submit(client)
    with sessions.begin() as session:
        session.execute(
            update(Job).values(
                status=JobStatus.FAILED, completed_at=func.now(), error_code="out_of_memory", error_detail="Too big."
            )
        )
    assert client.get(job["urls"]["self"]).json()["error"] == {
        "type": "/docs/errors#out_of_memory",
        "title": "The photo did not fit into memory.",
        "detail": "Too big.",
        "code": "out_of_memory",
        "retryable": True,
    }
    reply = client.get(f"{job['urls']['self']}/outputs/cutout")
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
    assert client.get(f"{job['urls']['self']}/matte").status_code == 404


def test_another_keys_job_is_not_there(
    client: TestClient, stranger: TestClient, sessions: Sessions, settings: Settings
) -> None:
    url = submit(client)["urls"]["self"]
    finish(sessions, settings)
    replies = [
        stranger.get(url),
        stranger.get(f"{url}/outputs/cutout"),
        stranger.get(f"{url}/matte"),
        stranger.post(f"{url}/cancel"),
        stranger.delete(url),
    ]
    assert [(r.status_code, r.json()["code"]) for r in replies] == [(404, "not_found")] * 5
    assert stranger.get("/v1/jobs").json()["data"] == []
    after = stranger.get("/v1/jobs", params={"starting_after": url.rsplit("/", 1)[1]})
    assert after.json()["data"] == []
    assert client.get(url).status_code == 200


def test_no_such_job(client: TestClient) -> None:
    for name in ("job_" + "0" * 32, "job_x", "1", "job_" + "\u0661" * 32, "%00"):
        reply = client.get(f"/v1/jobs/{name}")
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


def test_pages_hold_still_while_jobs_arrive(client: TestClient) -> None:
    ids = [submit(client)["id"] for _ in range(5)][::-1]
    first = client.get("/v1/jobs", params={"limit": 2})
    assert first.json()["has_more"]
    assert 'rel="prev"' not in first.headers["link"]
    newer = submit(client)["id"]
    seen = [job["id"] for job in first.json()["data"]]
    page = first
    while "next" in page.links:
        page = client.get(page.links["next"]["url"])
        seen += [job["id"] for job in page.json()["data"]]
    assert seen == ids
    assert not page.json()["has_more"]
    back = client.get(page.links["prev"]["url"])
    assert [job["id"] for job in back.json()["data"]] == ids[2:4]
    top = client.get("/v1/jobs", params={"ending_before": ids[0]}).json()
    assert [job["id"] for job in top["data"]] == [newer]


def test_lists_are_filtered_and_their_queries_judged(
    client: TestClient, sessions: Sessions, settings: Settings, subtests: pytest.Subtests
) -> None:
    done = submit(client)["id"]
    finish(sessions, settings)
    submit(client)
    found = client.get("/v1/jobs", params={"status": "succeeded"}).json()["data"]
    assert [job["id"] for job in found] == [done]
    for bounds in (
        {"created_after": "0001-01-01T00:00:00+14:00"},
        {"created_before": "9999-12-31T23:59:59-14:00"},
    ):
        with subtests.test(bounds=bounds):
            assert len(client.get("/v1/jobs", params=bounds).json()["data"]) == 2
    for query, code in (
        ({"limit": 0}, "invalid_request"),
        ({"limit": 101}, "invalid_request"),
        ({"status": "done"}, "invalid_request"),
        ({"starting_after": "5"}, "invalid_cursor"),
        ({"starting_after": done, "ending_before": done}, "invalid_cursor"),
    ):
        with subtests.test(query=query):
            reply = client.get("/v1/jobs", params=query)
            assert (reply.status_code, reply.json()["code"]) == (422, code)


def test_cancel_once(client: TestClient, sessions: Sessions, broker: str) -> None:
    job = submit(client, webhook_url="https://shop.example/hook")
    reply = client.post(job["urls"]["cancel"])
    assert (reply.status_code, reply.json()["status"]) == (200, "canceled")
    again = client.post(job["urls"]["cancel"])
    assert (again.status_code, again.json()["code"]) == (409, "already_final")
    with sessions() as session:
        assert session.scalars(select(WebhookEvent.type)).all() == ["job.canceled"]
    with Redis.from_url(broker) as redis:
        assert redis.llen("io") == 1


def test_delete_takes_row_and_files(client: TestClient, sessions: Sessions, settings: Settings, files: Path) -> None:
    urls = [submit(client)["urls"]["self"] for _ in range(2)]
    finish(sessions, settings)
    running = submit(client)["urls"]["self"]
    assert len(stored(files)) == 7  # three photos, two cutouts, two mattes of one photo: the later one is an orphan
    for url in (*urls, running):
        reply = client.delete(url)
        assert (reply.status_code, reply.content) == (204, b"")
        assert {client.get(url).status_code, client.delete(url).status_code} == {404}
        assert client.get(f"{url}/outputs/cutout").status_code == 404
    assert [name for name in stored(files) if name.startswith("jobs/")] == []
    assert client.get("/v1/jobs").json()["data"] == []


def test_downloads_have_the_bytes_and_their_hash(client: TestClient, sessions: Sessions, settings: Settings) -> None:
    job = submit(client, name='Tasse "rot"; x=1\r\nSet-Cookie: a=b.jpeg', format="webp")
    url = job["urls"]["self"]
    early = client.get(f"{url}/outputs/cutout")
    assert (early.status_code, early.json()["code"], early.headers["retry-after"]) == (409, "not_ready", "1")
    assert client.get(f"{url}/matte").json()["code"] == "not_ready"
    finish(sessions, settings)
    reply = client.get(f"{url}/outputs/cutout")
    assert reply.content == CUTOUT
    assert reply.headers["content-type"] == "image/webp"
    assert reply.headers["content-length"] == str(len(CUTOUT))
    assert reply.headers["etag"].strip('"') == client.get(url).json()["outputs"][0]["sha256"]
    assert reply.headers["content-disposition"].startswith('attachment; filename="')
    assert "\r" not in reply.headers["content-disposition"]
    assert "set-cookie" not in reply.headers
    again = client.get(f"{url}/outputs/cutout", headers={"If-None-Match": f'"x", {reply.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    matte = client.get(f"{url}/matte")
    assert (matte.content, matte.headers["content-type"]) == (MATTE, "image/png")
    for name in ("other", "..%2F..%2Finput", "cutout.webp"):
        assert client.get(f"{url}/outputs/{name}").status_code == 404


def test_a_safe_name_keeps_its_letters(client: TestClient, sessions: Sessions, settings: Settings) -> None:
    url = submit(client, name="Größe 1.jpg")["urls"]["self"]
    finish(sessions, settings)
    disposition = client.get(f"{url}/outputs/cutout").headers["content-disposition"]
    assert disposition == "attachment; filename=\"Groe 1.png\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%201.png"


def test_files_past_retention_are_gone(client: TestClient, sessions: Sessions, settings: Settings) -> None:
    job = submit(client)
    finish(sessions, settings)
    with sessions.begin() as session:
        purging.purge_files(session, session.get_one(Job, parse_job_id(job["id"])))
    url = job["urls"]["self"]
    for page in (f"{url}/outputs/cutout", f"{url}/matte"):
        reply = client.get(page)
        assert (reply.status_code, reply.json()["code"]) == (410, "files_purged")
    shown = client.get(url).json()
    assert (shown["status"], shown["outputs"], shown["matte"]) == ("succeeded", [], None)


def test_a_file_that_vanished_is_no_crash(
    client: TestClient, sessions: Sessions, settings: Settings, files: Path
) -> None:
    url = submit(client)["urls"]["self"]
    finish(sessions, settings)
    [cutout] = [name for name in stored(files) if name.endswith("cutout.png")]
    (files / cutout).unlink()
    assert client.get(f"{url}/outputs/cutout").json()["code"] == "files_purged"


def test_a_store_that_is_away_is_said_so(
    client: TestClient, sessions: Sessions, settings: Settings, files: Path
) -> None:
    url = submit(client)["urls"]["self"]
    finish(sessions, settings)
    files.rename(files.with_name("away"))
    files.write_bytes(b"")  # not a folder any more
    reply = client.get(f"{url}/outputs/cutout")
    assert (reply.status_code, reply.json()["code"]) == (503, "storage_unavailable")
    assert reply.headers["retry-after"] == "5"
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["storage"]) == (503, "unreachable")


def test_times_are_utc(client: TestClient) -> None:
    at = submit(client)["created_at"]
    assert abs(datetime.fromisoformat(at) - datetime.now().astimezone()) < timedelta(minutes=1)
