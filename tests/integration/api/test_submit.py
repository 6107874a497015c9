"""A submission: what is taken, and what is refused before anything is stored or queued."""

import asyncio
import hashlib
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from redis import Redis
from sqlalchemy import func, select, text

from config.settings import Settings
from db.models import Fetch, Job
from db.session import Sessions
from jobs.keys import IssuedKey
from jobs.output_params import OutputParams
from tests.integration.api.support import photo, stored, submit

URL = "https://shop.example/photos/red%20mug.jpg?size=large"
SHOWN_URL = "https://shop.example/photos/red%20mug.jpg?[redacted]"


def test_an_upload_is_stored_committed_and_rung_for(client: TestClient, files: Path, broker: str) -> None:
    body = photo()
    reply = client.post(
        "/v1/jobs",
        files={"image_file": ("Größe 1.JPG", body, "application/octet-stream")},
        data={"format": "webp", "background": "WHITE", "labels": '{"sku": "MUG-1"}'},
    )
    job = reply.json()
    assert reply.status_code == 202
    assert reply.headers["location"] == job["urls"]["self"] == f"https://packshot.example/v1/jobs/{job['id']}"
    assert reply.headers["retry-after"] == "1"
    assert (job["object"], job["status"], job["verdict"], job["attempt"]) == ("job", "queued", None, 0)
    assert job["created_at"].endswith("Z")
    assert job["input"] == {
        "filename": "Größe 1.JPG",
        "url": None,
        "sha256": hashlib.sha256(body).hexdigest(),
        "bytes": len(body),
        "format": "jpeg",
        "width": 40,
        "height": 30,
    }
    assert job["params"] == {
        "outputs": [OutputParams("cutout", "webp", background="#ffffff").to_json()],
        "model": "unet-fast",
        "existing_alpha": "auto",
        "animated": "refuse",
    }
    assert job["labels"] == {"sku": "MUG-1"}
    assert (files / "jobs" / job["id"].removeprefix("job_") / "input").read_bytes() == body
    assert client.get(job["urls"]["self"]).json() == job
    with Redis.from_url(broker) as redis:
        assert (redis.llen("gpu"), redis.llen("io")) == (1, 0)


@pytest.mark.parametrize("as_form", [False, True])
def test_a_url_is_queued_for_its_fetch(client: TestClient, sessions: Sessions, broker: str, *, as_form: bool) -> None:
    fields = {"image_url": URL, "format": "jpg"}
    labels = {"sku": "MUG-1"}
    if as_form:
        reply = client.post(
            "/v1/jobs", files={k: (None, v) for k, v in {**fields, "labels": json.dumps(labels)}.items()}
        )
    else:
        reply = client.post("/v1/jobs", json={**fields, "labels": labels, "webhook_url": None})
    assert reply.status_code == 202, reply.text
    job = reply.json()
    assert (job["input"]["url"], job["input"]["filename"], job["input"]["bytes"]) == (SHOWN_URL, "red mug.jpg", None)
    assert job["params"]["outputs"][0]["background"] == "#ffffff"
    assert job["labels"] == labels
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Fetch)) == 1
        assert session.execute(select(Job.due_at, Job.source_url)).one() == (None, URL)
    with Redis.from_url(broker) as redis:
        assert (redis.llen("gpu"), redis.llen("io")) == (0, 1)


def test_each_format_is_told_by_its_bytes(client: TestClient) -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        assert submit(client, photo(kind), name="photo.bin")["input"]["format"] == kind.lower()


BAD_PHOTOS = [
    (b"%PDF-1.7 not a photo", 415, "invalid_file_type"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "invalid_file_type"),
    (photo()[:200], 422, "failed_to_read_image"),
    (b"", 422, "failed_to_read_image"),
    (photo("PNG", (17_000, 1)), 422, "resolution_too_high"),
]


def test_a_photo_is_judged_by_its_header(client: TestClient, files: Path, subtests: pytest.Subtests) -> None:
    for body, status, code in BAD_PHOTOS:
        with subtests.test(code=code):
            reply = client.post("/v1/jobs", files={"image_file": ("photo.jpg", body)})
            assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert stored(files) == []


def test_a_huge_claim_in_a_small_file_is_refused(client: TestClient, files: Path) -> None:
    bomb = bytearray(photo("PNG"))
    bomb[16:24] = (50_000).to_bytes(4, "big") * 2
    reply = client.post("/v1/jobs", files={"image_file": ("bomb.png", bytes(bomb))})
    assert reply.status_code == 422
    assert reply.json()["code"] in {"resolution_too_high", "failed_to_read_image"}
    assert stored(files) == []


BAD_FIELDS = [
    ({}, "missing_source", None),
    ({"image_url": URL, "format": "gif"}, "invalid_format", "/format"),
    ({"image_url": URL, "format": 3}, "invalid_option", "/format"),
    ({"image_url": URL, "background": "sky"}, "invalid_bg_color", "/background"),
    ({"image_url": URL, "format": "jpg", "background": "transparent"}, "invalid_bg_color", "/background"),
    ({"image_url": URL, "model": "sam"}, "unknown_model", "/model"),
    ({"image_url": URL, "existing_alpha": "yes"}, "invalid_option", "/existing_alpha"),
    ({"image_url": URL, "animated": "all"}, "invalid_option", "/animated"),
    ({"image_url": URL, "colour": "red"}, "unknown_field", "/colour"),
    ({"image_url": URL, "a/b~c": "red"}, "unknown_field", "/a~1b~0c"),
    ({"image_url": URL, "labels": ["sku"]}, "invalid_labels", "/labels"),
    ({"image_url": URL, "labels": "sku"}, "invalid_labels", "/labels"),
    ({"image_url": URL, "labels": {"sku": 5}}, "invalid_labels", "/labels"),
    ({"image_url": URL, "labels": {"": "x"}}, "invalid_labels", "/labels"),
    ({"image_url": URL, "labels": {"k" * 65: "x"}}, "invalid_labels", "/labels"),
    ({"image_url": URL, "labels": {"sku": "x" * 513}}, "invalid_labels", "/labels"),
    ({"image_url": URL, "labels": {str(i): "x" for i in range(17)}}, "invalid_labels", "/labels"),
    ({"image_url": URL, "labels": {"sku": "a\x00b"}}, "invalid_labels", "/labels"),
    ({"image_url": URL, "labels": {"sku": "\ud800"}}, "invalid_labels", "/labels"),
    ({"image_url": "ftp://shop.example/mug.jpg"}, "invalid_image_url", "/image_url"),
    ({"image_url": 7}, "invalid_image_url", "/image_url"),
    ({"image_url": ""}, "invalid_image_url", "/image_url"),
    ({"image_url": URL, "webhook_url": "http://127.0.0.1/hook"}, "invalid_webhook_url", "/webhook_url"),
    ({"image_url": URL, "format": "gif", "model": "sam"}, "invalid_options", "/format"),
]


def test_a_bad_field_is_named(client: TestClient, sessions: Sessions, subtests: pytest.Subtests) -> None:
    for fields, code, pointer in BAD_FIELDS:
        with subtests.test(fields=str(fields)[:80]):
            body = json.dumps(fields)
            reply = client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
            problem = reply.json()
            assert (reply.status_code, problem["code"]) == (422, code), problem
            assert [error["pointer"] for error in problem["errors"]][:1] == ([pointer] if pointer else [])
            assert reply.headers["content-type"] == "application/problem+json"
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0


CLOSED_HOSTS = [
    *("127.0.0.1", "localhost", "localhost.", "0.0.0.0", "0", "127.1", "2130706433", "0177.0.0.1", "0x7f000001"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fd00:ec2::254]"),
    *("10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "198.18.0.1", "224.0.0.1"),
    *(
        "good@shop.example",
        "shop.example:22",
        "shop.example\\@127.0.0.1",
        "\uff11\uff12\uff17.0.0.1",
        "[fe80::1%25eth0]",
    ),
]


def test_private_hosts_are_refused_at_submit(client: TestClient, subtests: pytest.Subtests) -> None:
    for host, field in itertools.product(CLOSED_HOSTS, ("image_url", "webhook_url")):
        with subtests.test(host=host, field=field):
            reply = client.post("/v1/jobs", json={"image_url": URL, field: f"http://{host}/x"})
            assert (reply.status_code, reply.json()["code"]) == (422, f"invalid_{field}")


def test_two_sources_are_refused(client: TestClient, files: Path) -> None:
    both = client.post("/v1/jobs", files={"image_file": ("a.jpg", photo())}, data={"image_url": URL})
    twice = client.post("/v1/jobs", files=[("image_file", ("a.jpg", photo())), ("image_file", ("b.jpg", photo()))])
    assert [(r.status_code, r.json()["code"]) for r in (both, twice)] == [(422, "multiple_sources")] * 2
    assert stored(files) == []


def test_an_empty_file_control_is_no_photo(client: TestClient) -> None:
    """Browsers send one where no file was chosen."""
    part = b'--b\r\nContent-Disposition: form-data; name="image_file"; filename=""\r\n\r\n\r\n--b--\r\n'
    reply = client.post("/v1/jobs", content=part, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert reply.json()["code"] == "missing_source"


MALFORMED = [
    (b"{", "application/json", 400, "invalid_json"),
    (b"[]", "application/json", 400, "invalid_json"),
    (b"\xff", "application/json", 400, "invalid_json"),
    (b'{"labels": NaN}', "application/json", 400, "invalid_json"),
    (b'{"\\ud800": 1}', "application/json", 400, "invalid_json"),
    (b'{"labels":' + b"[" * 60_000, "application/json", 400, "invalid_json"),
    (b'{"format": "png", "format": "jpg"}', "application/json", 422, "duplicate_field"),
    (b'{"model": "' + b"x" * 70_000 + b'"}', "application/json", 413, "body_too_large"),
    (b"image_url=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    (b"", "", 415, "unsupported_media_type"),
    (b"--b\r\n", "multipart/form-data", 400, "invalid_multipart"),
    (b"nonsense", "multipart/form-data; boundary=b", 400, "invalid_multipart"),
    (b"--b\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b", 400, "invalid_multipart"),
]


def test_a_malformed_body_is_refused(client: TestClient, subtests: pytest.Subtests) -> None:
    for body, media_type, status, code in MALFORMED:
        with subtests.test(body=body[:40], media_type=media_type):
            reply = client.post("/v1/jobs", content=body, headers={"Content-Type": media_type})
            assert (reply.status_code, reply.json()["code"]) == (status, code)


def test_filenames_are_information_only(client: TestClient, files: Path) -> None:
    job = submit(client, name="../../etc/pass\x7fwd\u202egpj.jpg")
    assert job["input"]["filename"] == "passwdgpj.jpg"
    assert stored(files) == [f"jobs/{job['id'].removeprefix('job_')}/input"]


def test_a_refused_commit_takes_its_file_along(client: TestClient, sessions: Sessions, files: Path) -> None:
    with sessions.begin() as session:
        session.execute(text("ALTER TABLE jobs ADD CONSTRAINT none_today CHECK (attempt < 0)"))
    reply = client.post("/v1/jobs", files={"image_file": ("mug.jpg", photo())})
    assert (reply.status_code, reply.json()["code"]) == (500, "internal_error")
    assert "none_today" not in reply.text
    assert stored(files) == []


def test_a_lost_connection_leaves_the_file_to_the_sweep(client: TestClient, sessions: Sessions, files: Path) -> None:
    with sessions.begin() as session:
        session.execute(
            text(
                "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END'"
            )
        )
        session.execute(text("CREATE TRIGGER die BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION die()"))
    reply = client.post("/v1/jobs", files={"image_file": ("mug.jpg", photo())})
    assert (reply.status_code, reply.json()["code"]) == (503, "database_unavailable")
    assert reply.headers["retry-after"] == "5"
    assert len(stored(files)) == 1


def test_a_full_store_is_no_job(client: TestClient, sessions: Sessions, settings: Settings) -> None:
    (settings.files_path / "jobs").write_bytes(b"in the way")
    reply = client.post("/v1/jobs", files={"image_file": ("mug.jpg", photo())})
    assert (reply.status_code, reply.json()["code"], reply.json()["retryable"]) == (503, "storage_unavailable", True)
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0


def test_fifty_parallel_posts_are_fifty_jobs(client: TestClient, sessions: Sessions, files: Path, broker: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        jobs = list(pool.map(lambda n: submit(client, photo(size=(20 + n, 20))), range(50)))
    assert len({job["id"] for job in jobs}) == 50
    assert sorted(job["input"]["width"] for job in jobs) == list(range(20, 70))
    assert len(stored(files)) == 50
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 50
    with Redis.from_url(broker) as redis:
        assert redis.llen("gpu") == 1  # coalesced


def test_a_body_that_breaks_off_is_no_job(app: FastAPI, client: TestClient, key: IssuedKey) -> None:
    """The connection breaks in the middle of the photo. Whoever still listens is told; nothing is kept."""
    pieces = iter([{"type": "http.request", "body": b"--x\r\n", "more_body": True}, {"type": "http.disconnect"}])
    headers = {"authorization": f"Bearer {key.token}", "content-type": "multipart/form-data; boundary=x"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/jobs",
        "raw_path": b"/v1/jobs",
        "query_string": b"",
        "root_path": "",
        "scheme": "https",
        "server": ("packshot.example", 443),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[dict] = []

    async def receive() -> dict:
        return next(pieces)

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    reply = json.loads(b"".join(message.get("body", b"") for message in sent))
    assert (reply["status"], reply["code"]) == (400, "incomplete_body")
    assert client.get("/v1/jobs").json()["data"] == []
