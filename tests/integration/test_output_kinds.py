"""Masks, zips, regions and paints with opacity, made by a worker."""

import zipfile
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from config.settings import Settings
from db.base import JobStatus
from jobs import outputs
from jobs.ids import job_public_id
from jobs.output_params import OutputParams
from jobs.params import JobParams
from tests.gpu_worker import PHOTO_HW, GpuWorld, png


@pytest.fixture
def world(settings: Settings) -> Iterator[GpuWorld]:
    world = GpuWorld(settings.model_copy(update={"decode_processes": 1}))
    yield world
    world.close()


def test_every_kind_of_file_and_where_the_product_stands_in_it(world: GpuWorld) -> None:
    wanted = (
        OutputParams("cutout"),
        OutputParams("mask", channels="alpha"),
        OutputParams("zip", "zip", "longest:64"),
        OutputParams("veil", background="#00ff0080"),
        OutputParams("left", roi="0 0 50% 100%", crop=True),
        OutputParams("nothing", roi="0 0 10 10"),
    )
    job_id = world.add(params=JobParams(wanted, "fake"))
    world.drain()
    made = {row.name: row for row in world.outputs(job_id)}
    assert set(made) == {each.name for each in wanted}
    left, top, right, bottom = made["cutout"].bbox_xyxy_px or ()
    assert abs(np.array((left, top, right, bottom)) - (32, 24, 96, 72)).max() <= 2
    assert made["mask"].bbox_xyxy_px == made["cutout"].bbox_xyxy_px
    assert abs(np.array(made["zip"].bbox_xyxy_px) * 2 - (left, top, right, bottom)).max() <= 2
    assert made["left"].bbox_xyxy_px == [0, 0, 64 - left, bottom - top]
    assert (made["left"].width, made["left"].height) == (64 - left, bottom - top)
    assert made["nothing"].bbox_xyxy_px is None

    pictures = {name: BytesIO(world.read(row.key or "")) for name, row in made.items()}
    cutout, mask = Image.open(pictures["cutout"]), Image.open(pictures["mask"])
    assert mask.mode == "L"
    np.testing.assert_array_equal(np.asarray(mask), np.asarray(cutout)[..., 3])
    with zipfile.ZipFile(pictures["zip"]) as archive:
        assert {Image.open(BytesIO(archive.read(name))).size for name in archive.namelist()} == {(64, 48)}
    veil = np.asarray(Image.open(pictures["veil"]))
    assert tuple(veil[0, 0]) == (0, 255, 0, 128)
    assert veil[48, 64, 3] == 255
    assert not np.asarray(Image.open(pictures["nothing"]))[..., 3].any()


def test_every_format_from_a_worker_and_its_quality_on_record(world: GpuWorld) -> None:
    wanted = (
        OutputParams("png"),
        OutputParams("few", "png8"),
        OutputParams("exact", "webp", lossless=True),
        OutputParams("avif", "avif", background="#ffffff"),
        OutputParams("tiff", "tiff"),
        OutputParams("free", "jpg", background="#ffffff"),
        OutputParams("tight", "jpg", background="#ffffff", max_bytes=4500),
    )
    noisy = np.full((*PHOTO_HW, 3), 240, np.uint8)
    noisy[24:72, 32:96] = np.random.default_rng(0).integers(0, 90, (48, 64, 3))
    job_id = world.add(png(noisy), params=JobParams(wanted, "fake"))
    world.drain()
    made = {row.name: row for row in world.outputs(job_id)}
    assert {name: row.quality for name, row in made.items() if name != "tight"} == {
        "png": None,
        "few": None,
        "exact": None,
        "avif": 85,
        "tiff": None,
        "free": 92,
    }
    assert made["tight"].bytes <= 4500 < made["free"].bytes  # type: ignore[operator]
    assert 50 <= (made["tight"].quality or 0) < 92
    assert (made["few"].key or "").endswith("few.png")
    pictures = {name: Image.open(BytesIO(world.read(row.key or ""))) for name, row in made.items()}
    assert {name: picture.format for name, picture in pictures.items()} == {
        "png": "PNG",
        "few": "PNG",
        "exact": "WEBP",
        "avif": "AVIF",
        "tiff": "TIFF",
        "free": "JPEG",
        "tight": "JPEG",
    }
    for same in ("exact", "tiff"):
        np.testing.assert_array_equal(np.asarray(pictures[same]), np.asarray(pictures["png"]))
    assert pictures["avif"].getpixel((1, 1)) == (255, 255, 255)


def test_a_mask_of_16_bits_is_as_fine_as_the_network_now_and_from_the_stored_matte(world: GpuWorld) -> None:
    fine = {"channels": "alpha", "depth": 16}
    wanted = (OutputParams("mask", **fine), OutputParams("small", size="longest:90", **fine))
    blurred = np.full((*PHOTO_HW, 3), 240, np.uint8)
    blurred[24:72, 32:96] = np.linspace(115, 141, 64).astype(np.uint8)[:, None]
    job_id = world.add(png(blurred), params=JobParams(wanted, "fake"))
    world.drain()
    with world.res.sessions.begin() as session:
        later = outputs.add(
            session, job_public_id(job_id), OutputParams("later", "tiff", **fine), api_key_id=world.key
        ).id
    world.drain()
    made = {row.name: np.asarray(Image.open(BytesIO(world.read(row.key or "")))) for row in world.outputs(job_id)}
    [matte] = world.mattes()
    np.testing.assert_array_equal(made["mask"], np.asarray(Image.open(BytesIO(world.read(matte.key)))))
    np.testing.assert_array_equal(made["later"], made["mask"])
    assert world.segmenter.microbatches == [1]
    for name in ("mask", "small"):
        between = made[name][(made[name] > 0) & (made[name] < 65535)]
        assert (made[name].dtype, made[name].max()) == (np.uint16, 65535)
        assert len(between) > 100
        assert (between % 257 != 0).mean() > 0.9, "levels that 8 bits do not have"
    assert later


def test_a_file_that_can_not_be_small_enough_fails_the_job(world: GpuWorld) -> None:
    job_id = world.add(params=JobParams((OutputParams("png", "tiff", max_bytes=1000),), "fake"))
    world.drain()
    job = world.job(job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "output_too_large")
    assert "max_bytes is 1000" in (job.error_detail or "")


@pytest.mark.parametrize(
    ("roi", "code"), [("0 0 129px 50%", "roi_exceeds_bounds"), ("50% 0 50% 100%", "roi_region_empty")]
)
def test_a_region_that_is_not_in_the_photo_fails_the_job(world: GpuWorld, roi: str, code: str) -> None:
    job_id = world.add(params=JobParams((OutputParams(roi=roi),), "fake"))
    world.drain()
    job = world.job(job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, code)
