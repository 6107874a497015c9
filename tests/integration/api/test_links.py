"""Signed links: one file, for a while, without a key."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import structlog
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from api.app import create_app
from config.settings import Settings
from db import purging
from db.key_models import ApiKey, Secret
from db.models import Job
from db.session import Sessions
from jobs.errors import JobError
from jobs.ids import parse_job_id
from jobs.links import Signer, load_signer, output_subject
from jobs.models import Models
from tests.integration.api.conftest import SPEC, open_client
from tests.integration.api.support import CUTOUT, MATTE, finish, submit

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def job(client: TestClient, sessions: Sessions, settings: Settings) -> dict:
    made = submit(client)
    finish(sessions, settings)
    return made


def links(client: TestClient, job: dict, **body: object) -> dict:
    reply = client.post(f"{job['urls']['self']}/links", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def refusal(client: TestClient, url: str) -> tuple[int, str]:
    reply = client.get(url)
    return reply.status_code, reply.json()["code"]


def test_a_link_needs_no_key(client: TestClient, anonymous: TestClient, job: dict) -> None:
    made = links(client, job, expires_in="24h")
    away = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23) < away <= timedelta(hours=24)
    [output] = made["outputs"]
    assert (output["name"], anonymous.get(output["url"]).content) == ("cutout", CUTOUT)
    assert anonymous.get(made["matte"]).content == MATTE
    assert anonymous.get(output["url"].split("?")[0]).status_code == 401


def test_a_link_opens_its_file_and_no_other(client: TestClient, anonymous: TestClient, job: dict) -> None:
    made = links(client, job)
    url, query = made["outputs"][0]["url"].split("?")
    expires = parse_qs(query)["expires"][0]
    later = query.replace(f"expires={expires}", f"expires={int(expires) + 1}")
    wrong = query[:-1] + ("0" if query[-1] != "0" else "1")
    other = submit(client)
    forged = [
        f"{url}?{later}",
        f"{url}?{wrong}",
        f"{url}?expires={expires}&signature=",
        f"{url}?{query.split('&')[1]}",
        f"{job['urls']['self']}/matte?{query}",
        f"{url}x?{query}",
        f"{other['urls']['self']}/outputs/cutout?{query}",
        f"{url.replace(job['id'], 'job_' + uuid4().hex)}?{query}",
        f"{url}?expires={expires}&signature=%F0%9F%94%91",
    ]
    for each in forged:
        assert refusal(anonymous, each) == (403, "invalid_link"), each


def test_a_link_expires() -> None:
    signer, key = Signer(b"secret"), uuid4()
    subject = output_subject("job_1", "cutout")
    query = parse_qs(signer.sign(key, subject, NOW + timedelta(seconds=60)))
    expires, signature = int(query["expires"][0]), query["signature"][0]
    signer.check(key, subject, expires, signature, now=NOW + timedelta(seconds=59))
    with pytest.raises(JobError, match="link_expired"):
        signer.check(key, subject, expires, signature, now=NOW + timedelta(seconds=60))
    for other, secret in ((uuid4(), b"secret"), (key, b"another")):
        with pytest.raises(JobError, match="invalid_link"):
            Signer(secret).check(other, subject, expires, signature, now=NOW)


def test_an_expired_link_says_so(anonymous: TestClient, sessions: Sessions, job: dict) -> None:
    with sessions.begin() as session:
        signer, owner = load_signer(session), session.scalars(select(Job.api_key_id)).one()
    query = signer.sign(owner, output_subject(job["id"], "cutout"), datetime.now(UTC) - timedelta(seconds=1))
    assert refusal(anonymous, f"{job['urls']['self']}/outputs/cutout?{query}") == (403, "link_expired")


def test_another_tenant_makes_no_link(stranger: TestClient, job: dict) -> None:
    assert stranger.post(f"{job['urls']['self']}/links").status_code == 404


def test_all_processes_share_the_secret(client: TestClient, settings: Settings, sessions: Sessions, job: dict) -> None:
    url = links(client, job)["outputs"][0]["url"]
    with open_client(create_app(settings, models=Models((SPEC,))), None) as second:
        assert second.get(url).content == CUTOUT
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Secret)) == 1


def test_links_end_with_the_files_the_job_and_the_key(
    client: TestClient, anonymous: TestClient, sessions: Sessions, job: dict
) -> None:
    url = links(client, job)["outputs"][0]["url"]
    with sessions.begin() as session:
        session.execute(update(ApiKey).values(revoked_at=func.now()))
    assert refusal(anonymous, url) == (403, "invalid_link")
    with sessions.begin() as session:
        session.execute(update(ApiKey).values(revoked_at=None))
    with sessions.begin() as session:
        purging.purge_files(session, session.get_one(Job, parse_job_id(job["id"])))
    assert refusal(anonymous, url) == (410, "files_purged")
    client.delete(job["urls"]["self"])
    assert refusal(anonymous, url) == (403, "invalid_link")


@pytest.mark.parametrize("expires_in", [0, "8d", "soon", 1.5])
def test_a_life_that_is_none_is_refused(client: TestClient, job: dict, expires_in: object) -> None:
    reply = client.post(f"{job['urls']['self']}/links", json={"expires_in": expires_in})
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_option")


def test_no_signature_is_logged(client: TestClient, anonymous: TestClient, job: dict) -> None:
    url = links(client, job)["outputs"][0]["url"]
    signature = parse_qs(urlsplit(url).query)["signature"][0]
    with structlog.testing.capture_logs() as logs:
        assert anonymous.get(url).status_code == 200
    [line] = [entry for entry in logs if entry["event"] == "request"]
    assert line["path"].endswith("/outputs/cutout")
    assert line["api_key_id"]
    assert signature not in str(logs)
