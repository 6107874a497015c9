"""Other services' calls, answered by a job and its wait: remove.bg's and rembg's."""

import base64
import socket
import subprocess
import time
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx import Response
from PIL import Image
from removebg import RemoveBg
from sqlalchemy import select

from config.settings import Settings
from db.base import JobStatus
from db.models import Job
from db.session import Sessions
from jobs import keys
from jobs.keys import IssuedKey, Scope
from jobs.lanes import Lane
from tests.drop_in import REMOVE_BG, lead_to, make_app, serving, working, write_authority
from tests.factories import make_key
from tests.gpu_worker import GpuWorld, photo
from tests.integration.api.conftest import open_client
from tests.receivers import Receiver, reply

PATH = "/v1.0/removebg"
SIZE = (128, 96)
EMPTY = Image.new("RGB", SIZE, (250, 250, 250))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(lambda _: reply(200, photo())) as server:
        yield server


@pytest.fixture
def settings(settings: Settings, receiver: Receiver) -> Settings:
    return Settings(
        **{**settings.model_dump(), "model": "fake", "egress_allow": (receiver.allow,), "drop_in_wait_s": 30.0}
    )


@pytest.fixture
def world(settings: Settings) -> Iterator[GpuWorld]:
    with working(settings) as world:
        yield world


@pytest.fixture
def client(settings: Settings, key: IssuedKey) -> Iterator[TestClient]:
    with open_client(make_app(settings), None) as client:
        client.headers["X-Api-Key"] = key.token
        yield client


def ask(client: TestClient, accept: str = "*/*", **fields: str) -> Response:
    return client.post(PATH, files={"image_file": ("mug.png", photo())}, data=fields, headers={"Accept": accept})


def image_of(reply: Response) -> Image.Image:
    assert reply.status_code == 200, reply.text
    return Image.open(BytesIO(reply.content))


def codes(reply: Response) -> list[str]:
    assert all(set(error) == {"title", "detail", "code"} for error in reply.json()["errors"])
    return [error["code"] for error in reply.json()["errors"]]


@pytest.mark.usefixtures("world")
def test_a_photo_in_and_its_cutout_out_with_remove_bgs_headers(client: TestClient) -> None:
    reply = ask(client)
    image = image_of(reply)
    assert (image.format, image.mode, image.size) == ("PNG", "RGBA", SIZE)
    headers = reply.headers
    assert (headers["X-Width"], headers["X-Height"], headers["X-Type"]) == ("128", "96", "product")
    assert headers["X-Credits-Charged"] == "0"
    box = [int(headers[f"X-Foreground-{side}"]) for side in ("Left", "Top", "Width", "Height")]
    assert np.abs(np.array(box) - (32, 24, 64, 48)).max() <= 2
    assert headers["Content-Type"] == "image/png"

    told = ask(client, "application/json", type_level="none")
    assert "X-Type" not in told.headers
    data = told.json()["data"]
    assert base64.b64decode(data["result_b64"]) == reply.content
    assert [data[f"foreground_{side}"] for side in ("left", "top", "width", "height")] == box

    job = client.get(f"/v1/jobs/{headers['X-Job-Id']}").json()
    assert (job["status"], job["outputs"][0]["bbox_xyxy_px"][0]) == ("succeeded", box[0])


@pytest.mark.usefixtures("world")
def test_formats_geometry_and_backgrounds(client: TestClient) -> None:
    cropped = ask(client, crop="true", crop_margin="10px")
    assert cropped.headers["X-Foreground-Left"] == cropped.headers["X-Foreground-Top"] == "10"
    assert int(cropped.headers["X-Width"]) == int(cropped.headers["X-Foreground-Width"]) + 20

    scaled = ask(client, scale="50%", position="0% 100%", bg_color="hotpink")
    image = image_of(scaled)
    assert (image.format, image.size) == ("JPEG", SIZE)
    assert scaled.headers["X-Foreground-Left"] == "0"
    assert int(scaled.headers["X-Foreground-Top"]) + int(scaled.headers["X-Foreground-Height"]) == 96
    assert np.abs(np.array(image.getpixel((120, 8))) - (0xFF, 0x69, 0xB4)).max() <= 3

    assert image_of(ask(client, channels="alpha")).mode == "L"
    assert image_of(ask(client, format="webp")).format == "WEBP"
    assert image_of(ask(client, bg_color="00ff0080")).getpixel((0, 0)) == (0, 255, 0, 128)
    half = ask(client, roi="0 0 50% 100%")
    assert int(half.headers["X-Foreground-Left"]) + int(half.headers["X-Foreground-Width"]) == 64

    packed = ask(client, format="zip")
    assert packed.headers["Content-Type"] == "application/zip"
    assert zipfile.ZipFile(BytesIO(packed.content)).namelist() == ["color.jpg", "alpha.png"]


@pytest.mark.usefixtures("world")
def test_every_body_and_every_source(client: TestClient, receiver: Receiver) -> None:
    expected = ask(client).content
    text = base64.b64encode(photo()).decode()
    url = f"http://photos.example:{receiver.port}/mug.png"
    for answer in (
        client.post(PATH, json={"image_file_b64": text, "crop": False}),
        client.post(PATH, json={"image_file_b64": "data:image/png;base64," + text}),
        client.post(PATH, data={"image_file_b64": text}),
        client.post(PATH, files={"size": (None, "auto"), "image_file_b64": (None, text)}),
        client.post(PATH, json={"image_url": url}),
        client.post(PATH, data={"image_url": url}),
        client.post(PATH, files={"image_url": (None, url)}),
    ):
        assert answer.status_code == 200, answer.text
        assert answer.content == expected


def test_bad_requests_are_told_as_remove_bg_tells_them(client: TestClient, sessions: Sessions) -> None:
    text = base64.b64encode(photo()).decode()
    bad: list[tuple[Response, list[str]]] = [
        (client.post(PATH, data={"size": "hd"}), ["missing_source"]),
        (client.post(PATH, json={"image_url": "https://a.example/b", "image_file_b64": text}), ["multiple_sources"]),
        (ask(client, size="huge", add_shadow="true"), ["unsupported_option", "invalid_size"]),
        (ask(client, colour="red"), ["unknown_field"]),
        (ask(client, roi="0 0 1 1 1"), ["invalid_roi"]),
        (ask(client, roi="0 0 200px 50%"), ["roi_exceeds_bounds"]),
        (ask(client, roi="50% 50% 50% 60%"), ["roi_region_empty"]),
        (client.post(PATH, json={"image_file_b64": "no base64!"}), ["failed_to_read_image"]),
        (client.post(PATH, files={"image_file_b64": (None, "=====" * 99)}), ["failed_to_read_image"]),
        (client.post(PATH, json={"image_file_b64": base64.b64encode(b"%PDF-1.7").decode()}), ["invalid_file_type"]),
        (client.post(PATH, json={"image_url": "http://10.0.0.1/a.png"}), ["invalid_image_url"]),
        (client.post(PATH, content="size=hd&size=full"), ["unsupported_media_type"]),
        (client.post(PATH, json=["x"]), ["invalid_json"]),
        (
            client.post(PATH, files={"image_file": photo(), "bg_image_file": ("a.png", b"\x89\xff" * 99_999)}),
            ["unsupported_option"],
        ),
    ]
    for answer, expected in bad:
        assert (answer.status_code, codes(answer)) == (400, expected), answer.text
    with sessions.begin() as session:
        assert session.scalars(select(Job)).all() == []


def test_keys_and_the_account(client: TestClient, sessions: Sessions) -> None:
    account = client.get("/v1.0/account").json()["data"]["attributes"]
    assert account["credits"]["total"] > 0
    assert account["api"]["sizes"] == "all"
    with sessions.begin() as session:
        reader = keys.create(session, "reader", scopes=[Scope.JOBS_READ]).token
    for token, code in (("pk_live_00000000_x", "auth_failed"), (reader, "missing_scope")):
        reply = client.post(PATH, headers={"X-Api-Key": token}, files={"image_file": photo()})
        assert (reply.status_code, codes(reply)) == (403, [code])
    assert codes(client.get("/v1.0/nothing")) == ["not_found"]


def test_a_key_that_has_used_its_minute(settings: Settings, key: IssuedKey) -> None:
    with open_client(make_app(settings.model_copy(update={"requests_per_minute": 1})), key.token) as client:
        first = client.get("/v1.0/account")
        assert (first.headers["X-RateLimit-Limit"], first.headers["X-RateLimit-Remaining"]) == ("1", "0")
        assert 0 <= int(first.headers["X-RateLimit-Reset"]) - time.time() <= 61
        reply = ask(client)
    assert (reply.status_code, codes(reply)) == (429, ["rate_limit_exceeded"])
    assert (reply.headers["X-RateLimit-Remaining"], int(reply.headers["Retry-After"]) > 0) == ("0", True)


@pytest.mark.usefixtures("world")
def test_a_photo_without_a_product_and_a_photo_that_fails(client: TestClient, receiver: Receiver) -> None:
    out = BytesIO()
    EMPTY.save(out, "PNG")
    reply = client.post(PATH, files={"image_file": out.getvalue()})
    assert (reply.status_code, codes(reply)) == (400, ["unknown_foreground"])
    whole = photo()
    reply = client.post(PATH, files={"image_file": whole[: len(whole) // 2]})
    assert (reply.status_code, codes(reply)) == (400, ["failed_to_read_image"])
    receiver.routes["/large.png"] = lambda _: [b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"]
    reply = client.post(PATH, json={"image_url": f"http://photos.example:{receiver.port}/large.png"})
    assert (reply.status_code, codes(reply)) == (400, ["failed_image_download"])


def test_who_waits_too_long_leaves_no_job_behind(settings: Settings, key: IssuedKey, sessions: Sessions) -> None:
    app = make_app(settings.model_copy(update={"drop_in_wait_s": 0.2}))
    with open_client(app, key.token) as client:
        reply = ask(client)
    assert (reply.status_code, codes(reply)) == (503, ["took_too_long"])
    assert int(reply.headers["Retry-After"]) > 0
    with sessions.begin() as session:
        [job] = session.scalars(select(Job)).all()
        assert (job.status, job.priority) == (JobStatus.CANCELED, Lane.INTERACTIVE)


@pytest.mark.usefixtures("world")
def test_the_client_of_pypi(
    settings: Settings, key: IssuedKey, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`removebg`, whose host is built in: a resolver and a certificate authority of the test's own lead it here."""
    authority, trusted = write_authority(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    source = tmp_path / "mug.png"
    source.write_bytes(photo())
    with serving(make_app(settings), authority=authority) as port:
        monkeypatch.setattr(socket, "getaddrinfo", lead_to(port))
        client = RemoveBg(key.token, str(tmp_path / "errors.log"))
        client.remove_background_from_img_file(str(source), size="regular", bg_color="white")
        url = f"http://photos.example:{receiver.port}/mug.png"
        client.remove_background_from_img_url(url, new_file_name=str(tmp_path / "url.png"))
        text = base64.b64encode(photo())
        client.remove_background_from_base64_img(text, size="4k", new_file_name=str(tmp_path / "b64.png"))
        with pytest.raises(OSError, match=f"403 .*{REMOVE_BG}"):
            RemoveBg("wrong", str(tmp_path / "errors.log")).remove_background_from_base64_img(text)
    assert Image.open(tmp_path / "mug.png_no_bg.png").getpixel((0, 0)) == (255, 255, 255)
    for name in ("url.png", "b64.png"):
        image = Image.open(tmp_path / name)
        assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGBA", SIZE, (0, 0, 0, 0))


def curl(port: int, output: Path, *arguments: str) -> bytes:
    """rembg's documented call, its port led to the test's."""
    there = ("--connect-to", f"localhost:7000:127.0.0.1:{port}")
    subprocess.run(["curl", "-s", "--noproxy", "*", *there, *arguments, "-o", output], check=True, timeout=60)
    return output.read_bytes()


@pytest.mark.usefixtures("world")
def test_the_calls_that_rembg_documents(
    settings: Settings, sessions: Sessions, receiver: Receiver, tmp_path: Path
) -> None:
    with sessions.begin() as session:
        short = make_key(session, "rembg").short
    source = tmp_path / "input.png"
    source.write_bytes(photo())
    moving = tmp_path / "moving.gif"
    Image.open(source).save(moving, save_all=True, append_images=[EMPTY])
    output = tmp_path / "output.png"
    url = f"http://photos.example:{receiver.port}/input.png"
    with serving(make_app(settings.model_copy(update={"rembg_key": short}))) as port:
        by_url = curl(port, output, f"http://localhost:7000/api/remove?url={url}")
        by_file = curl(port, output, "-F", f"file=@{source}", "http://localhost:7000/api/remove")
        first_frame = curl(port, output, "-F", f"file=@{moving}", "http://localhost:7000/api/remove")
        mask = curl(port, output, "-F", f"file=@{source}", "-F", "om=true", "http://localhost:7000/api/remove")
        paint = curl(port, output, f"http://localhost:7000/api/remove?url={url}&bgc=255,255,255,255&a=true")
    assert by_url == by_file == first_frame
    assert Image.open(BytesIO(by_url)).mode == "RGBA"
    assert Image.open(BytesIO(mask)).mode == "L"
    assert Image.open(BytesIO(paint)).getpixel((0, 0)) == (255, 255, 255)


def test_rembgs_path_is_off_unless_a_live_key_is_named(settings: Settings, sessions: Sessions) -> None:
    with sessions.begin() as session:
        ended = make_key(session, "ended")
        keys.revoke(session, ended.id)
        reader = keys.create(session, "reader", scopes=[Scope.JOBS_READ])
    for name in (None, "00000000", ended.short, reader.short):
        with open_client(make_app(settings.model_copy(update={"rembg_key": name})), None) as client:
            for reply in (client.get("/api/remove?url=https://a.example/b"), client.post("/api/remove")):
                assert (reply.status_code, reply.json()["code"]) == (403, "rembg_off")


def test_what_rembgs_path_refuses(settings: Settings, key: IssuedKey) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"params": {"model": "u2net"}}, "unknown_model"),
        ({"params": {"ae": "3"}}, "unsupported_option"),
        ({"params": {"om": "1"}, "data": {"om": "1"}}, "duplicate_field"),
        ({"params": [("om", "1"), ("om", "0")]}, "duplicate_field"),
    ]
    name = keys.public_id(key.id)
    with open_client(make_app(settings.model_copy(update={"rembg_key": name})), None) as client:
        for request, code in refused:
            reply = client.post("/api/remove", files={"file": photo()}, **request)
            assert reply.json()["code"] == code
        assert client.get("/api/remove").json()["code"] == "missing_source"
