"""The drain: photos in, final rows and files out, each photo by itself."""

import threading
from collections.abc import Iterator
from io import BytesIO
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, update

from config.settings import Settings
from db import purging
from db.base import JobStatus, Verdict
from db.models import Job
from dispatch.names import Bell
from jobs.output_params import OutputParams
from jobs.params import JobParams
from tests.gpu_worker import PHOTO_HW, GpuWorld, photo, png
from vision.codec.encode import decode_matte
from vision.segmenters.base import SegmenterOutOfMemory
from vision.segmenters.checksum import WeightsError

RED = (200, 0, 0)


@pytest.fixture
def world(settings: Settings) -> Iterator[GpuWorld]:
    world = GpuWorld(settings.model_copy(update={"decode_processes": 1, "retry_backoff_s": 60.0}))
    yield world
    world.close()


def params(**output: object) -> JobParams:
    return JobParams((OutputParams(**output),), "fake")


def opened(world: GpuWorld, key: str) -> Image.Image:
    return Image.open(BytesIO(world.read(key)))


def test_a_photo_becomes_a_cutout_and_a_matte(world: GpuWorld) -> None:
    job_id = world.add()
    world.drain()
    world.assert_each_done_once([job_id])
    job = world.job(job_id)
    assert (job.verdict, job.reasons, job.attempt, job.leased_until) == (Verdict.PASS, [], 1, None)
    assert (job.model_version, job.runtime) == ("fake@1", "fake-cpu")
    assert set(job.metrics) >= {
        "queue_ms", "decode_ms", "letterbox_ms", "infer_ms", "post_ms", "encode_ms", "store_ms", "batch_size",
    }  # fmt: skip
    [output] = world.outputs(job_id)
    cutout = np.asarray(opened(world, output.key))
    assert cutout.shape == (*PHOTO_HW, 4)
    assert (output.width, output.height, output.bytes) == (128, 96, len(world.read(output.key)))
    assert tuple(cutout[48, 64]) == (20, 40, 60, 255)
    assert tuple(cutout[2, 2]) == (0, 0, 0, 0)
    [matte] = world.mattes()
    alpha = decode_matte(world.read(matte.key))
    assert (alpha[48, 64], alpha[2, 2]) == (1, 0)
    assert world.res.pulse.held() == []
    assert world.res.pulse.totals()["jobs"] == 1
    assert "commit_ms" in world.res.pulse.totals()


@pytest.mark.parametrize(("output_format", "kind"), [("png", "PNG"), ("webp", "WEBP"), ("jpg", "JPEG")])
def test_formats_and_background(world: GpuWorld, output_format: str, kind: str) -> None:
    job_id = world.add(params=params(format=output_format, background="#ffffff"))
    world.drain()
    [output] = world.outputs(job_id)
    image = opened(world, output.key)
    assert (image.format, image.mode) == (kind, "RGB")
    assert image.getpixel((2, 2)) == (255, 255, 255)


def test_many_photos_go_in_microbatches_and_the_bell_rings_for_others(world: GpuWorld) -> None:
    job_ids = [world.add() for _ in range(11)]
    world.drain()
    assert set(world.statuses(job_ids)) == {JobStatus.SUCCEEDED}
    assert world.segmenter.microbatches[0] == 8
    with world.celery.connection_for_read() as connection:
        assert connection.default_channel.client.llen(Bell.GPU.value) == 1


def test_a_poison_photo_fails_alone(world: GpuWorld) -> None:
    good = [world.add(photo(product=(n, 0, 0))) for n in range(7)]
    bad = world.add(photo()[:200])
    world.drain()
    assert set(world.statuses(good)) == {JobStatus.SUCCEEDED}
    job = world.job(bad)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "failed_to_read_image")
    assert world.events() == ["job.failed", *["job.succeeded"] * 7]
    assert world.segmenter.microbatches == [7]


def test_a_photo_that_breaks_the_network_fails_alone(world: GpuWorld) -> None:
    def refuse_red(canvases: list[np.ndarray]) -> None:
        if any(tuple(canvas[32, 32]) == RED for canvas in canvases):
            raise RuntimeError("this one")

    world.segmenter.before_predict = refuse_red
    good = [world.add(photo(product=(n, 0, 0))) for n in range(7)]
    bad = world.add(photo(product=RED))
    world.drain()
    assert set(world.statuses(good)) == {JobStatus.SUCCEEDED}
    assert (world.job(bad).status, world.job(bad).error_code) == (JobStatus.FAILED, "job_broke")
    assert world.segmenter.microbatches == [8] + [1] * 8


def test_a_model_may_look_twice_at_a_microbatch_and_a_photo_that_breaks_the_second_fails_alone(world: GpuWorld) -> None:
    """Its product lies left of the middle, and right of it in a mirrored view."""
    world.segmenter.looks = 2
    image = np.full((96, 256, 3), 240, np.uint8)
    image[24:72, 32:64] = 20
    odd = image.copy()
    odd[24:72, 32:40] = (200, 0, 0)

    def refuse_mirrored_red(canvases: list[np.ndarray]) -> None:
        for canvas in canvases:
            _, columns = np.nonzero((canvas[..., 0] > 120) & (canvas[..., 1] < 60))
            if len(columns) and columns.mean() > canvas.shape[1] / 2:
                raise RuntimeError("this one")

    world.segmenter.before_predict = refuse_mirrored_red
    good, bad = [world.add(png(image)), world.add(png(image[:, ::-1].copy()))], world.add(png(odd))
    world.drain()
    assert set(world.statuses(good)) == {JobStatus.SUCCEEDED}
    assert (world.job(bad).status, world.job(bad).error_code) == (JobStatus.FAILED, "job_broke")
    assert world.segmenter.microbatches == [3, 3, 1, 1, 1]


@pytest.mark.parametrize("fits", [4, 2, 1])
def test_out_of_memory_halves_the_microbatch(world: GpuWorld, fits: int) -> None:
    def run_out(canvases: list[np.ndarray]) -> None:
        if len(canvases) > fits:
            raise SegmenterOutOfMemory

    world.segmenter.before_predict = run_out
    job_ids = [world.add(photo(product=(n, 0, 0))) for n in range(8)]
    world.drain()
    world.assert_each_done_once(job_ids)
    assert world.segmenter.microbatches.count(fits) == 8 // fits


def test_out_of_memory_for_one_photo_is_tried_again_later(world: GpuWorld) -> None:
    def run_out(_: object) -> None:
        raise SegmenterOutOfMemory

    world.segmenter.before_predict = run_out
    job_id = world.add()
    world.drain()
    assert (world.job(job_id).status, world.job(job_id).retries) == (JobStatus.QUEUED, 1)
    world.segmenter.before_predict = lambda _: None
    world.make_due()
    world.drain()
    world.assert_each_done_once([job_id])


def test_a_full_store_is_a_passing_fault(settings: Settings) -> None:
    """However long: it counts against no job."""
    world = GpuWorld(settings.model_copy(update={"decode_processes": 1, "storage_failures": 0}))
    job_id = world.add()
    world.storage.is_full = True
    for _ in range(world.res.settings.max_retries + 2):
        world.make_due()
        world.drain()
    job = world.job(job_id)
    assert (job.status, job.retries, job.crashes) == (JobStatus.QUEUED, 0, 0)
    assert job.attempt > world.res.settings.max_retries
    assert world.files() == []
    world.storage.is_full = False
    world.make_due()
    world.drain()
    world.assert_each_done_once([job_id])
    world.close()


def test_a_job_canceled_in_mid_work_leaves_no_file(world: GpuWorld) -> None:
    job_id = world.add()

    def cancel(_: object) -> None:
        with world.res.sessions.begin() as session:
            session.execute(update(Job).values(status=JobStatus.CANCELED, leased_until=None, completed_at=Job.due_at))

    world.segmenter.before_predict = cancel
    world.drain()
    assert world.job(job_id).status is JobStatus.CANCELED
    assert world.files() == []
    assert world.outputs(job_id) == []


def test_a_stored_matte_needs_no_forward(world: GpuWorld) -> None:
    first = world.add()
    world.drain()
    second = world.add(params=params(background="#ff0000"))
    world.drain()
    world.assert_each_done_once([first, second])
    assert world.segmenter.microbatches == [1]
    assert len(world.mattes()) == 1
    assert world.job(second).verdict is Verdict.PASS
    assert "infer_ms" not in world.job(second).metrics
    [output] = world.outputs(second)
    assert opened(world, output.key).getpixel((2, 2)) == (255, 0, 0)


def test_the_matte_of_a_photo_sent_twice_is_no_orphan(world: GpuWorld) -> None:
    jobs = [world.add(), world.add()]
    world.drain()
    assert world.segmenter.microbatches == [2]
    assert set(world.statuses(jobs)) == {JobStatus.SUCCEEDED}
    [matte] = world.mattes()
    with world.res.sessions() as session:
        assert purging.named_keys(session, [matte.key]) == {matte.key}


def test_a_stored_matte_whose_file_is_gone_is_made_again(world: GpuWorld) -> None:
    world.add()
    world.drain()
    [matte] = world.mattes()
    world.storage.delete(matte.key)
    second = world.add()
    world.drain()
    assert world.job(second).status is JobStatus.SUCCEEDED
    assert world.segmenter.microbatches == [1, 1]
    [mended] = world.mattes()
    assert (mended.id, opened(world, mended.key).size) == (matte.id, PHOTO_HW[::-1])


def test_a_photo_without_product_succeeds_with_the_verdict_fail(world: GpuWorld) -> None:
    job_id = world.add(png(np.full((*PHOTO_HW, 3), 250, np.uint8)))
    world.drain()
    world.assert_each_done_once([job_id])
    job = world.job(job_id)
    assert (job.verdict, job.reasons) == (Verdict.FAIL, ["no_foreground"])


def test_a_photo_with_alpha_of_its_own_needs_no_network(world: GpuWorld) -> None:
    rgba = np.zeros((*PHOTO_HW, 4), np.uint8)
    rgba[24:72, 32:96] = (200, 100, 50, 255)
    job_id = world.add(png(rgba))
    world.drain()
    world.assert_each_done_once([job_id])
    assert world.segmenter.microbatches == []
    [output] = world.outputs(job_id)
    assert opened(world, output.key).getpixel((64, 48)) == (200, 100, 50, 255)


def test_jobs_of_another_model_run_on_that_model(world: GpuWorld) -> None:
    job_ids = [world.add(), world.add(params=JobParams(model="other")), world.add(params=JobParams(model="none"))]
    world.drain()
    assert [world.job(job_id).model_version for job_id in job_ids] == ["fake@1", "other@1", None]
    assert world.job(job_ids[2]).error_code == "unknown_model"


def test_a_model_that_does_not_load_is_tried_again(world: GpuWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model_id: str) -> NoReturn:
        raise WeightsError(f"{model_id} has another sha256")

    good, bad = world.add(), world.add(params=JobParams(model="other"))
    monkeypatch.setattr(world.res.intake.models, "_load", refuse)
    world.drain()
    assert world.statuses([good, bad]) == [JobStatus.SUCCEEDED, JobStatus.QUEUED]
    with world.res.sessions.begin() as session:
        session.execute(update(Job).where(Job.id == bad).values(due_at=func.now(), retries=100))
    world.drain()
    assert (world.job(bad).status, world.job(bad).error_code) == (JobStatus.FAILED, "model_unavailable")


def test_two_workers_racing_do_each_job_once(world: GpuWorld, settings: Settings) -> None:
    other = GpuWorld(settings.model_copy(update={"decode_processes": 1, "microbatch_images": 2}))
    job_ids = [world.add(photo(product=(n, n, 0))) for n in range(24)]
    threads = [threading.Thread(target=each.drain) for each in (world, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    world.assert_each_done_once(job_ids)
    assert {world.job(job_id).attempt for job_id in job_ids} == {1}


def test_the_pipeline_is_bounded_in_megapixels(world: GpuWorld) -> None:
    held: list[int] = []
    world.segmenter.before_predict = lambda _: held.append(len(world.res.pulse.held()))
    job_ids = [world.add(photo(product=(n, 0, 0)), megapixels=45) for n in range(12)]
    world.drain()
    world.assert_each_done_once(job_ids)
    # 200 megapixels in flight hold four photos of 45.
    assert max(held) <= 4
