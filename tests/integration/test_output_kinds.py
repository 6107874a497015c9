"""Masks, zips, regions and paints with opacity, made by a worker."""

import zipfile
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from config.settings import Settings
from db.base import JobStatus
from jobs.output_params import OutputParams
from jobs.params import JobParams
from tests.gpu_worker import GpuWorld


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


@pytest.mark.parametrize(
    ("roi", "code"), [("0 0 129px 50%", "roi_exceeds_bounds"), ("50% 0 50% 100%", "roi_region_empty")]
)
def test_a_region_that_is_not_in_the_photo_fails_the_job(world: GpuWorld, roi: str, code: str) -> None:
    job_id = world.add(params=JobParams((OutputParams(roi=roi),), "fake"))
    world.drain()
    job = world.job(job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, code)
