"""Outputs over HTTP: asked for with the job, asked for later, shown and downloaded."""

import json

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from config.settings import Settings
from db.base import JobStatus
from db.models import Output
from db.session import Sessions
from jobs.output_params import MAX_OUTPUTS_OF_JOB
from tests.integration.api.support import CUTOUT, finish, submit


def test_outputs_of_a_form(client: TestClient, sessions: Sessions, settings: Settings) -> None:
    wanted = [{"name": "main", "format": "jpg", "size": "longest:20", "fill": "85%"}, {"name": "thumb", "crop": True}]
    job = submit(client, outputs=json.dumps(wanted))
    assert [output["name"] for output in job["params"]["outputs"]] == ["main", "thumb"]
    assert job["params"]["outputs"][0]["background"] == "#ffffff"
    assert job["outputs"] == []
    finish(sessions, settings)
    shown = client.get(job["urls"]["self"]).json()
    assert [(output["name"], output["status"]) for output in shown["outputs"]] == [
        ("main", "succeeded"),
        ("thumb", "succeeded"),
    ]
    reply = client.get(shown["outputs"][0]["url"])
    assert (reply.content, reply.headers["content-type"]) == (CUTOUT, "image/jpeg")
    assert 'filename="mug-main.jpg"' in reply.headers["content-disposition"]


@pytest.mark.parametrize(
    ("outputs", "pointer", "code"),
    [
        ("no json", "/outputs", "invalid_outputs"),
        ({"name": "main"}, "/outputs", "invalid_outputs"),
        ([{"shadow": "drop"}], "/outputs/0/shadow", "unknown_field"),
        ([{}, {"name": "a", "crop": "yes"}], "/outputs/1/crop", "invalid_option"),
        ([{"depth": 16}], "/outputs/0/depth", "invalid_depth"),
        ([{"max_bytes": "5MB"}], "/outputs/0/max_bytes", "invalid_option"),
        ([{"size": "9999999x1"}], "/outputs/0/size", "invalid_size"),
    ],
)
def test_bad_outputs_are_named(client: TestClient, outputs: object, pointer: str, code: str) -> None:
    fields = {"image_url": "https://shop.example/mug.jpg", "outputs": outputs}
    reply = client.post("/v1/jobs", json=fields)
    assert reply.status_code == 422
    assert [(error["pointer"], error["code"]) for error in reply.json()["errors"]] == [(pointer, code)]


def test_formats_have_media_types_and_endings(client: TestClient, sessions: Sessions, settings: Settings) -> None:
    kinds = {"png8": "image/png", "avif": "image/avif", "tiff": "image/tiff", "zip": "application/zip"}
    job = submit(client, outputs=json.dumps([{"name": name, "format": name} for name in kinds]))
    finish(sessions, settings)
    for output in client.get(job["urls"]["self"]).json()["outputs"]:
        reply = client.get(output["url"])
        assert reply.headers["content-type"] == kinds[output["name"]]
        ending = output["format"].replace("png8", "png")
        assert f'filename="mug-{output["name"]}.{ending}"' in reply.headers["content-disposition"]


def test_the_encoding_of_a_single_output_is_said_by_the_job(client: TestClient) -> None:
    job = submit(client, format="jpg", quality="85", max_bytes="5000000")
    [output] = job["params"]["outputs"]
    assert (output["format"], output["quality"], output["max_bytes"]) == ("jpg", 85, 5_000_000)
    job = submit(client, format="webp", lossless="true")
    assert job["params"]["outputs"][0]["lossless"] is True


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"max_bytes": "5MB"}, [("/max_bytes", "invalid_max_bytes")]),
        ({"max_bytes": 2.5}, [("/max_bytes", "invalid_max_bytes")]),
        ({"format": "avif", "quality": True}, [("/quality", "invalid_quality")]),
        ({"quality": 90}, [("/quality", "invalid_quality")]),
        ({"lossless": "maybe"}, [("/lossless", "invalid_lossless")]),
        ({"outputs": [{}], "lossless": True}, [("/lossless", "invalid_outputs")]),
    ],
)
def test_a_bad_encoding_is_named(client: TestClient, fields: dict[str, object], errors: list[tuple[str, str]]) -> None:
    reply = client.post("/v1/jobs", json={"image_url": "https://shop.example/mug.jpg", **fields})
    assert reply.status_code == 422
    assert [(error["pointer"], error["code"]) for error in reply.json()["errors"]] == errors


def test_a_further_output_is_queued_with_a_status_of_its_own(
    client: TestClient, sessions: Sessions, settings: Settings
) -> None:
    job = submit(client)
    url = f"{job['urls']['self']}/outputs"
    assert client.post(url, json={"name": "main"}).json()["code"] == "not_ready"
    finish(sessions, settings)
    headers = {"Idempotency-Key": "one"}
    reply = client.post(url, json={"name": "main", "format": "jpg", "size": "2000x2000"}, headers=headers)
    assert reply.status_code == 202, reply.text
    assert reply.headers["location"] == f"{url}/main"
    output = reply.json()
    assert (output["status"], output["sha256"], output["params"]["background"]) == ("queued", None, "#ffffff")
    again = client.post(url, json={"name": "main", "format": "jpg", "size": "2000x2000"}, headers=headers)
    assert (again.content, again.headers["idempotent-replayed"]) == (reply.content, "true")
    early = client.get(f"{url}/main")
    assert (early.status_code, early.json()["code"]) == (409, "not_ready")
    assert early.headers["retry-after"] == "1"
    shown = client.get(job["urls"]["self"]).json()
    assert shown["status"] == "succeeded"
    assert {each["name"]: each["status"] for each in shown["outputs"]} == {"cutout": "succeeded", "main": "queued"}
    taken = client.post(url, json={"name": "main"})
    assert (taken.status_code, taken.json()["code"]) == (409, "output_exists")


def test_a_further_output_that_failed_says_why(client: TestClient, sessions: Sessions, settings: Settings) -> None:
    job = submit(client)
    finish(sessions, settings)
    url = f"{job['urls']['self']}/outputs"
    client.post(url, json={"name": "main"})
    with sessions.begin() as session:
        failed = {"status": JobStatus.FAILED, "completed_at": func.now(), "error_code": "matte_lost"}
        session.execute(update(Output).where(Output.name == "main").values(**failed, error_detail="gone"))
    reply = client.get(f"{url}/main")
    assert (reply.status_code, reply.json()["code"]) == (409, "output_failed")
    [shown] = [each for each in client.get(job["urls"]["self"]).json()["outputs"] if each["name"] == "main"]
    assert shown["error"]["code"] == "matte_lost"


def test_further_outputs_are_refused(client: TestClient, stranger: TestClient) -> None:
    job = submit(client)
    url = f"{job['urls']['self']}/outputs"
    assert stranger.post(url, json={"name": "main"}).status_code == 404
    bad = client.post(url, json={"name": "main", "size": "0x0", "quality": 3})
    assert [error["pointer"] for error in bad.json()["errors"]] == ["/quality", "/size"]
    client.post(f"{job['urls']['self']}/cancel")
    reply = client.post(url, json={"name": "main"})
    assert (reply.status_code, reply.json()["code"]) == (409, "no_matte")


def test_a_job_has_fifty_outputs_at_most(client: TestClient, sessions: Sessions, settings: Settings) -> None:
    job = submit(client)
    finish(sessions, settings)
    url = f"{job['urls']['self']}/outputs"
    for number in range(MAX_OUTPUTS_OF_JOB - 1):
        assert client.post(url, json={"name": f"n{number}"}).status_code == 202
    reply = client.post(url, json={"name": "one-more"})
    assert (reply.status_code, reply.json()["code"]) == (422, "too_many_outputs")
    assert client.delete(job["urls"]["self"]).status_code == 204
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Output)) == 0
