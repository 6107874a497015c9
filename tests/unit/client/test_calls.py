"""Each call of both clients against a service that answers as said."""

import hashlib
import inspect
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from packshot_client import (
    AsyncClient,
    ChecksumError,
    Client,
    ConflictError,
    JobFailedError,
    NotFoundError,
    Retries,
    UnexpectedReplyError,
    WaitTimeoutError,
)
from tests.unit.client.service import DONE, JOB, Face, answer, problem

Make = Callable[..., Face]
PNG = b"\x89PNG" + bytes(100_000)
SHA256 = hashlib.sha256(PNG).hexdigest()
CUT = {**DONE, "outputs": [{"name": "main", "url": "http://elsewhere/x", "format": "png", "sha256": SHA256}]}


def file_answer(body: bytes = PNG, sha256: str = SHA256) -> httpx.Response:
    return httpx.Response(200, content=body, headers={"ETag": f'"{sha256}"', "Content-Type": "image/png"})


def test_photos_of_every_kind(face: Make, tmp_path: Path) -> None:
    path = tmp_path / "müg.jpg"
    path.write_bytes(b"of a path")
    stream = io.BytesIO(b"of a stream")
    stream.seek(9)
    client = face(answer(JOB, 202))
    for photo in (path, str(path), b"of bytes", stream):
        client.do("jobs.create", photo)
    bodies = [request.content for request in client.service.requests]
    assert [b"\r\n\r\nof a path\r\n" in body for body in bodies] == [True, True, False, False]
    assert 'filename="müg.jpg"'.encode() in bodies[0]
    assert b"\r\n\r\nof bytes\r\n" in bodies[2]
    assert b"\r\n\r\nof a stream\r\n" in bodies[3]
    client.do("jobs.create", "https://shop.test/mug.jpg", format=None, labels={"sku": "1"})
    assert client.service.json() == {"image_url": "https://shop.test/mug.jpg", "labels": {"sku": "1"}}
    with pytest.raises(FileNotFoundError):
        client.do("jobs.create", tmp_path / "none.jpg")


def test_a_stream_is_sent_whole_again(face: Make) -> None:
    stream = io.BytesIO(b"0123456789")
    client = face(httpx.ReadError("reset"), answer(JOB, 202))
    client.do("jobs.create", stream, filename="a.jpg")
    assert [b"\r\n\r\n0123456789\r\n" in request.content for request in client.service.requests] == [True, True]
    assert not stream.closed
    reader, writer = os.pipe()
    with open(reader, "rb") as pipe, open(writer, "wb"), pytest.raises(ValueError, match="read twice"):  # noqa: PTH123
        client.do("jobs.create", pipe)


def test_base_url_key_and_ids_in_the_path(face: Make) -> None:
    client = face(answer(JOB))
    client.do("jobs.get", "job/../x?")
    [request] = client.service.requests
    assert client.service.sent == ["GET /base/v1/jobs/job%2F..%2Fx%3F"]
    assert request.headers["authorization"] == "Bearer pk_live_1_2"
    assert request.headers["user-agent"].startswith("packshot-client/")


def test_waiting_is_a_long_poll_until_the_end(face: Make) -> None:
    client = face(answer(JOB, Retry_After="2"), answer({**JOB, "status": "processing"}), answer(DONE))
    assert client.do("jobs.wait", "job_1", timeout_s=100).status == "succeeded"
    assert client.service.sent == ["GET /base/v1/jobs/job_1?wait=60"] * 3
    assert client.pauses == [2.0, 1.0]  # a service that does not hold the request is not asked without a pause
    assert client.service.requests[0].extensions["timeout"]["read"] == 90


def test_waiting_outlasts_a_service_that_is_away(face: Make) -> None:
    away = httpx.ConnectError("refused")
    client = face(away, away, away, problem(503, "too_many_waiting", retryable=True), answer(DONE),
                  retries=Retries(attempts=1))  # fmt: skip
    assert client.do("jobs.wait", "job_1", timeout_s=100).status == "succeeded"
    assert client.service.sent[-1] == "GET /base/v1/jobs/job_1"  # it polls then
    with pytest.raises(NotFoundError):
        face(problem(404, "not_found")).do("jobs.wait", "job_1")


def test_waiting_ends(face: Make) -> None:
    with pytest.raises(WaitTimeoutError, match="job_1 is queued after 0 s"):
        face(answer(JOB)).do("jobs.wait", "job_1", timeout_s=0)


def test_cut_out_in_one_call(face: Make, tmp_path: Path) -> None:
    client = face(answer(JOB, 202), answer(CUT), file_answer())
    made = client.do("cut_out", b"photo", to=tmp_path / "new" / "mug.png", background="white")
    assert (made.job.verdict, made.content) == ("pass", PNG)
    assert (tmp_path / "new" / "mug.png").read_bytes() == PNG
    assert client.service.requests[0].headers["prefer"] == "wait=60"
    assert client.service.sent[1:] == [
        "GET /base/v1/jobs/job_1?wait=60", "GET /base/v1/jobs/job_1/outputs/main"
    ]  # fmt: skip
    # One that has ended with the submission needs no wait.
    assert face(answer(CUT, 201), file_answer()).do("cut_out", b"photo").content == PNG


def test_cut_out_of_a_job_that_failed(face: Make) -> None:
    error = {"code": "failed_to_read_image", "title": "The photo can't be read.", "detail": None, "retryable": False}
    with pytest.raises(JobFailedError, match="job_1 failed: failed_to_read_image") as caught:
        face(answer({**JOB, "status": "failed", "error": error}, 201)).do("cut_out", b"photo")
    assert caught.value.job.error.code == "failed_to_read_image"


def test_download_replaces_whole_or_not_at_all(face: Make, tmp_path: Path) -> None:
    path = tmp_path / "mug.png"
    path.write_bytes(b"before")
    client = face(file_answer(PNG[:-1]))
    with pytest.raises(ChecksumError):
        client.do("jobs.download", "job_1", path)
    assert path.read_bytes() == b"before"

    def breaks_off(_: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("peer closed")

    client = face(breaks_off, file_answer())
    assert client.do("jobs.download", "job_1", path, "main") == path
    assert path.read_bytes() == PNG
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ConflictError):
        face(problem(409, "not_ready")).do("jobs.download", "job_1", path)
    assert list(tmp_path.iterdir()) == [path]


def test_lists_are_read_page_by_page(face: Make) -> None:
    def page(*names: str, more: bool) -> httpx.Response:
        return answer({"object": "list", "data": [{**JOB, "id": name} for name in names], "has_more": more})

    client = face(page("job_3", "job_2", more=True), page("job_1", more=False))
    jobs = client.do("jobs.iterate", status="queued", filters={"verdict": "pass"})
    assert [job.id for job in jobs] == ["job_3", "job_2", "job_1"]
    assert client.service.sent == [
        "GET /base/v1/jobs?verdict=pass&status=queued&limit=100",
        "GET /base/v1/jobs?verdict=pass&status=queued&limit=100&starting_after=job_2",
    ]
    found = face(page("job_1", more=True)).do("jobs.page", limit=1)
    assert ([job.id for job in found.data], found.has_more) == (["job_1"], True)


def test_cancel_and_delete_after_a_lost_reply(face: Make) -> None:
    canceled = {**JOB, "status": "canceled"}
    client = face(httpx.ReadError("reset"), problem(409, "already_final"), answer(canceled))
    assert client.do("jobs.cancel", "job_1").status == "canceled"
    with pytest.raises(ConflictError):
        face(problem(409, "already_final"), answer(DONE)).do("jobs.cancel", "job_1")
    face(httpx.ReadError("reset"), problem(404, "not_found")).do("jobs.delete", "job_1")
    with pytest.raises(NotFoundError):
        face(problem(404, "not_found")).do("jobs.delete", "job_1")


def test_a_further_output(face: Make) -> None:
    queued = {"name": "wide", "url": "http://x/wide", "format": "jpg", "status": "queued"}
    client = face(
        answer(queued, 202), answer({**DONE, "outputs": [queued]}),
        answer({**DONE, "outputs": [{**queued, "status": "succeeded"}]}),
    )  # fmt: skip
    assert client.do("jobs.add_output", "job_1", name="wide", format="jpg", crop=True).status == "queued"
    assert client.service.json() == {"name": "wide", "format": "jpg", "crop": True}
    assert "idempotency-key" in client.service.requests[0].headers
    assert client.do("jobs.wait_output", "job_1", "wide").output("wide").status == "succeeded"


def test_a_batch_of_lines(face: Make, tmp_path: Path) -> None:
    batch = {"id": "batch_1", "status": "validating", "created_at": JOB["created_at"]}
    counts = {"total": 2, "completed": 1, "failed": 1, "canceled": 0}
    client = face(answer(batch, 202), answer({**batch, "status": "completed", "request_counts": counts}))
    lines = ({"custom_id": str(number), "image_url": "https://x.test/a.jpg", "model": None} for number in range(2))
    made = client.do("batches.create", lines, skip_invalid=True, format="jpg")
    body = client.service.requests[0].content
    assert b'{"custom_id": "0", "image_url": "https://x.test/a.jpg"}\n{"custom_id": "1",' in body
    assert b'filename="manifest.jsonl"' in body
    assert b'name="skip_invalid"\r\n\r\ntrue\r\n' in body
    ended = client.do("batches.wait", made)
    assert (ended.is_final, ended.request_counts.failed) == (True, 1)
    client = face(file_answer(b"PK"))
    client.service.requests.clear()
    with pytest.raises(ChecksumError):  # of an output; a ZIP is made on the way and has none
        client.do("jobs.read_output", "job_1")
    assert client.do("batches.download", made, tmp_path / "a.zip").read_bytes() == b"PK"
    assert client.service.sent[-1] == "GET /base/v1/batches/batch_1/results.zip"


def test_a_manifest_file_and_its_check(face: Make, tmp_path: Path) -> None:
    (tmp_path / "autumn.csv").write_text("custom_id,image_url\n1,ftp://x\n")
    bad = {
        "line": 2,
        "custom_id": "1",
        "errors": [{"pointer": "/image_url", "code": "invalid_image_url", "detail": "."}],
    }
    plan = {"object": "batch.plan", "source": "csv", "lines": 1, "valid": 0, "invalid": 1, "would_run": False,
            "error": None, "errors": [bad]}  # fmt: skip
    client = face(answer(plan))
    found = client.do("batches.check", tmp_path / "autumn.csv")
    assert (found.would_run, found.errors[0].errors[0].code) == (False, "invalid_image_url")
    assert b'filename="autumn.csv"' in client.service.requests[0].content
    assert b'name="validate_only"\r\n\r\ntrue' in client.service.requests[0].content


def test_the_service(face: Make) -> None:
    client = face(answer({"data": [{"id": "unet-fast@1", "name": "unet-fast", "version": "1", "is_default": True}]}))
    [model] = client.do("models")
    assert (model.id, model.is_default) == ("unet-fast@1", True)
    client = face(answer({"max_upload_bytes": 1, "max_megapixels": 50, "input_formats": ["jpeg"]}))
    assert client.do("limits").max_megapixels == 50.0


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"id": "job_1"}', json.dumps({**JOB, "attempt": "x"}).encode()])
def test_replies_of_something_else(face: Make, body: bytes) -> None:
    with pytest.raises(UnexpectedReplyError):
        face(httpx.Response(200, content=body)).do("jobs.get", "job_1")


def test_url_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for url, key in [("", "k"), ("localhost:8080", "k"), ("ftp://x", "k"), ("http://x", ""), ("http://x", "k\n")]:
        with pytest.raises(ValueError, match=r"URL|key"):
            Client(url, key)
    monkeypatch.setenv("PACKSHOT_URL", "http://env.test")
    monkeypatch.setenv("PACKSHOT_KEY", "pk_env")
    seen = []

    def see(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.host, request.headers["authorization"]))
        return answer(JOB)

    with Client(transport=httpx.MockTransport(see)) as client:
        client.jobs.get("job_1")
    assert seen == [("env.test", "Bearer pk_env")]


def test_both_clients_have_the_same_calls() -> None:
    with Client("http://x", "k") as client:
        other = AsyncClient("http://x", "k")
        for group in ("jobs", "uploads", "batches"):
            mine, theirs = ({name for name in dir(getattr(each, group)) if name[0] != "_"} for each in (client, other))
            assert mine == theirs
        assert {name for name in dir(client) if name[0] != "_"} == {name for name in dir(other) if name[0] != "_"}
        assert "timeout_s" in str(inspect.signature(client.cut_out))
