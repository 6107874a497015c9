"""Downloads from a bucket: the API sends callers on to URLs that the store signed."""

from datetime import UTC, datetime, timedelta
from threading import Event
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import structlog
from fastapi.testclient import TestClient
from sqlalchemy import select

from api.app import create_app
from api.routes import files
from config.settings import Settings
from db.models import Output
from db.session import Sessions
from jobs.links import load_signer, output_subject
from jobs.models import Models
from packshot_client import ChecksumError, Client
from storage.objects import ObjectStorage
from storage.opening import open_storage
from storage.port import StorageUnavailableError
from tests.integration.api.conftest import SPEC, open_client
from tests.integration.api.support import CUTOUT, MATTE, finish, submit
from tests.s3_server import S3Server


@pytest.fixture
def settings(settings: Settings, s3_server: S3Server, s3_bucket: str) -> Settings:
    changes = {"storage_url": f"s3://{s3_bucket}/packshot", "storage_endpoint": s3_server.endpoint}
    return settings.model_copy(update=changes)


@pytest.fixture
def job(client: TestClient, sessions: Sessions, settings: Settings) -> dict:
    made = submit(client, name="blåbär mug.jpg")
    finish(sessions, settings)
    return made


def cutout(job: dict) -> str:
    return f"{job['urls']['self']}/outputs/cutout"


def test_a_download_is_sent_on_to_the_store(client: TestClient, job: dict) -> None:
    reply = client.get(cutout(job), follow_redirects=False)
    assert (reply.status_code, reply.headers["cache-control"]) == (307, "private, no-store")
    target = reply.headers["location"]
    assert parse_qs(urlsplit(target).query)["X-Amz-Expires"] == ["300"]
    file = httpx.get(target)
    assert (file.status_code, file.content) == (200, CUTOUT)
    head = client.head(cutout(job), follow_redirects=False)
    assert head.status_code == 200, "a URL signed for GET is good for nothing else"
    for name in ("content-type", "content-length", "content-disposition", "cache-control"):
        assert file.headers[name] == head.headers[name]
    assert "bl%C3%A5b%C3%A4r%20mug.png" in file.headers["content-disposition"]
    part = httpx.get(target, headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, CUTOUT[:10])


def test_a_copy_at_hand_needs_no_store(client: TestClient, job: dict) -> None:
    etag = client.head(cutout(job)).headers["etag"]
    assert client.get(cutout(job), headers={"If-None-Match": etag}, follow_redirects=False).status_code == 304


def test_a_matte_comes_through_the_api(client: TestClient, job: dict) -> None:
    reply = client.get(f"{job['urls']['self']}/matte", follow_redirects=False)
    assert (reply.status_code, reply.content) == (200, MATTE)
    part = client.get(f"{job['urls']['self']}/matte", headers={"Range": "bytes=2-8"})
    assert (part.status_code, part.content) == (206, MATTE[2:9])


def test_nobody_else_is_sent_on(stranger: TestClient, anonymous: TestClient, job: dict) -> None:
    assert stranger.get(cutout(job), follow_redirects=False).status_code == 404
    assert anonymous.get(cutout(job), follow_redirects=False).status_code == 401


def test_a_links_end_is_the_end_of_the_stores_url(anonymous: TestClient, sessions: Sessions, job: dict, key) -> None:
    with sessions.begin() as session:
        signer = load_signer(session)

    def lasts(left: timedelta) -> int:
        query = signer.sign(key.id, output_subject(job["id"], "cutout"), datetime.now(UTC) + left)
        reply = anonymous.get(f"{cutout(job)}?{query}", follow_redirects=False)
        assert reply.status_code == 307, reply.text
        return int(parse_qs(urlsplit(reply.headers["location"]).query)["X-Amz-Expires"][0])

    assert lasts(timedelta(hours=1)) == 300
    assert 18 <= lasts(timedelta(seconds=20)) <= 20


def test_the_api_streams_where_it_shall(key, settings: Settings, job: dict) -> None:
    plain = create_app(settings.model_copy(update={"storage_links": False}), models=Models((SPEC,)))
    with open_client(plain, key.token) as client:
        reply = client.get(cutout(job), follow_redirects=False)
        assert (reply.status_code, reply.content) == (200, CUTOUT)
        assert client.get(cutout(job), headers={"Range": "bytes=-5"}).content == CUTOUT[-5:]


def test_the_api_streams_where_the_store_cannot_sign(key, settings: Settings, job: dict, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise StorageUnavailableError("can't sign: not with these credentials")

    monkeypatch.setattr(files, "_unsigned", Event())
    app = create_app(settings, models=Models((SPEC,)))
    with open_client(app, key.token) as client, structlog.testing.capture_logs() as logs:
        monkeypatch.setattr(ObjectStorage, "url", refuse)
        for _ in range(2):
            reply = client.get(cutout(job), follow_redirects=False)
            assert (reply.status_code, reply.content) == (200, CUTOUT)
    assert [line["event"] for line in logs].count("store_cannot_sign") == 1


def test_a_deleted_jobs_url_opens_nothing(client: TestClient, job: dict) -> None:
    target = client.get(cutout(job), follow_redirects=False).headers["location"]
    assert client.delete(job["urls"]["self"]).status_code == 204
    assert httpx.get(target).status_code == 404


def test_no_url_of_the_store_is_logged(client: TestClient, job: dict) -> None:
    with structlog.testing.capture_logs() as logs:
        client.get(cutout(job), follow_redirects=False)
    assert logs
    assert "X-Amz" not in str(logs)


def test_the_client_follows_and_keeps_the_key_to_itself(url: str, key, job: dict, tmp_path) -> None:
    """S3 refuses a request with a signature and an Authorization header: the download shows that none is sent."""
    with Client(url, key.token) as packshot:
        file = packshot.jobs.download(job["id"], tmp_path / "mug.png")
    assert file.read_bytes() == CUTOUT


def test_the_client_checks_what_the_store_sent(
    url: str, key, job: dict, settings: Settings, sessions: Sessions
) -> None:
    with sessions() as session:
        [stored] = session.scalars(select(Output.key)).all()
    open_storage(settings).put(stored or "", b"not what was made")
    with Client(url, key.token) as packshot, pytest.raises(ChecksumError):
        packshot.jobs.read_output(job["id"])
