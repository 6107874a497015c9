"""Every input format over the API, through a worker with a real decoder process, to a cutout."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pillow_heif
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from config.settings import Settings
from jobs.keys import IssuedKey
from tests.batches import jsonl, post
from tests.drop_in import make_app, working
from tests.gpu_worker import PHOTO_HW, GpuWorld
from tests.integration.api.conftest import open_client
from tests.photo_files import save

PRODUCT, BACKGROUND = (20, 40, 60), (240, 240, 240)


def scene() -> np.ndarray:
    image = np.full((*PHOTO_HW, 3), BACKGROUND, np.uint8)
    image[24:72, 32:96] = PRODUCT
    return image


def heif(image: np.ndarray) -> bytes:
    out = BytesIO()
    pillow_heif.from_pillow(Image.fromarray(image)).save(out, quality=-1, chroma=444, matrix_coefficients=0)
    return out.getvalue()


FILES: dict[str, bytes] = {
    "jpeg": save(scene(), "JPEG", quality=95, subsampling=0),
    "png": save(scene(), "PNG"),
    "webp": save(scene(), "WEBP", lossless=True),
    "tiff": save(scene(), "TIFF", compression="tiff_lzw"),
    "bmp": save(scene(), "BMP"),
    "gif": save(scene(), "GIF"),
    "avif": save(scene(), "AVIF", quality=100, subsampling="4:4:4"),
    "heif": heif(scene()),
}
FRAMES = [Image.fromarray(scene()), Image.fromarray(255 - scene())]
ANIMATED = {name: save(FRAMES[0], name, save_all=True, append_images=FRAMES[1:]) for name in ("GIF", "PNG", "TIFF")}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return Settings(**{**settings.model_dump(), "model": "fake"})


@pytest.fixture
def world(settings: Settings) -> Iterator[GpuWorld]:
    with working(settings) as world:
        yield world


@pytest.fixture
def client(settings: Settings, key: IssuedKey) -> Iterator[TestClient]:
    with open_client(make_app(settings), key.token) as client:
        yield client


def run(client: TestClient, data: bytes, **options: str) -> dict[str, Any]:
    """Submitted under a name that lies, waited for."""
    reply = client.post(
        "/v1/jobs", files={"image_file": ("mug.jpg", data)}, data=options, headers={"Prefer": "wait=30"}
    )
    assert reply.status_code == 201, reply.text
    return reply.json()


def cutout(client: TestClient, job: dict[str, Any]) -> np.ndarray:
    assert job["status"] == "succeeded", job
    return np.asarray(Image.open(BytesIO(client.get(job["outputs"][0]["url"]).content)))


def assert_is_the_scene(rgba: np.ndarray) -> None:
    assert rgba.shape == (*PHOTO_HW, 4)
    assert np.abs(rgba[48, 64].astype(int) - (*PRODUCT, 255)).max() <= 3
    assert tuple(rgba[2, 2]) == (0, 0, 0, 0)


@pytest.mark.usefixtures("world")
def test_every_format_becomes_a_cutout(client: TestClient) -> None:
    for name, data in FILES.items():
        job = run(client, data)
        assert (job["input"]["format"], job["input"]["width"], job["input"]["height"]) == (name, 128, 96)
        assert_is_the_scene(cutout(client, job))
    assert client.get("/v1/limits").json()["input_formats"] == list(FILES)


@pytest.mark.usefixtures("world")
def test_an_animation_is_refused_at_once_or_its_first_frame_is_cut_out(client: TestClient) -> None:
    for name, data in ANIMATED.items():
        refused = client.post("/v1/jobs", files={"image_file": ("mug.gif", data)})
        assert (refused.status_code, refused.json()["code"]) == (415, "animated_image"), name
        job = run(client, data, animated="first_frame")
        assert job["params"]["animated"] == "first_frame"
        assert_is_the_scene(cutout(client, job))


def test_an_upload_remembers_its_frames_for_the_lines_of_a_batch(client: TestClient) -> None:
    upload = client.post("/v1/uploads", files={"image_file": ("mug.gif", ANIMATED["GIF"])}).json()
    manifest = jsonl({"upload_id": upload["id"]}, {"upload_id": upload["id"], "animated": "first_frame"})
    plan = post(client, manifest, validate_only="true").json()
    assert (plan["valid"], plan["errors"][0]["errors"][0]["code"]) == (1, "animated_image")


def test_what_is_no_photo_is_refused_before_work_is_queued(client: TestClient) -> None:
    for data, code in [
        (b"%PDF-1.7\n%\xe2\xe3", "invalid_file_type"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "invalid_file_type"),
        (b"8BPS\0\1" + bytes(20), "invalid_file_type"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "invalid_file_type"),
        (FILES["tiff"][:60], "failed_to_read_image"),
        (FILES["heif"][:60], "failed_to_read_image"),
        (FILES["avif"][:60], "failed_to_read_image"),
        (FILES["gif"][:20], "failed_to_read_image"),
        (FILES["bmp"][:20], "failed_to_read_image"),
    ]:
        reply = client.post("/v1/jobs", files={"image_file": ("mug.jpg", data)})
        assert reply.json()["code"] == code, (data[:20], reply.text)
    assert client.get("/v1/jobs").json()["data"] == []
