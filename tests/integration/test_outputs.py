"""Many outputs of one matte: with the job, and asked for later."""

from collections.abc import Iterator
from io import BytesIO
from uuid import UUID

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, select, update

from config.settings import Settings
from db import purging
from db.base import JobStatus
from db.models import Job, Output
from jobs import claiming, outputs, work
from jobs.errors import JobError
from jobs.ids import job_public_id
from jobs.output_params import OutputParams
from jobs.params import JobParams
from tests.gpu_worker import PHOTO_HW, GpuWorld, photo, png


@pytest.fixture
def world(settings: Settings) -> Iterator[GpuWorld]:
    world = GpuWorld(settings.model_copy(update={"decode_processes": 1, "retry_backoff_s": 60.0}))
    yield world
    world.close()


def ask(world: GpuWorld, job_id: UUID, name: str = "more", **options: object) -> UUID:
    with world.res.sessions.begin() as session:
        params = OutputParams(name, **options)
        return outputs.add(session, job_public_id(job_id), params, api_key_id=world.key).id


def output(world: GpuWorld, output_id: UUID) -> Output:
    with world.res.sessions() as session:
        return session.get_one(Output, output_id)


def opened(world: GpuWorld, row: Output) -> Image.Image:
    return Image.open(BytesIO(world.read(row.key)))


def test_one_inference_makes_many_outputs(world: GpuWorld) -> None:
    wanted = (
        OutputParams("cutout"),
        OutputParams("main", "jpg", "200x200", "#ffffff", quality=80, fill="85%"),
        OutputParams("thumb", "webp", "longest:32", crop=True, margin="10%"),
        OutputParams("small", "png", "megapixels:0.001"),
    )
    job_id = world.add(params=JobParams(wanted, "fake"))
    world.drain()
    assert world.segmenter.microbatches == [1]
    made = {row.name: row for row in world.outputs(job_id)}
    assert {name: (row.width, row.height, row.upscaled) for name, row in made.items()} == {
        "cutout": (128, 96, False),
        "main": (200, 200, True),
        "thumb": (32, 24, False),
        "small": (36, 27, False),
    }
    assert {row.status for row in made.values()} == {JobStatus.SUCCEEDED}
    for name, row in made.items():
        image = opened(world, row)
        assert image.size == (row.width, row.height)
        assert row.params == next(each for each in wanted if each.name == name).to_json()
    main = np.asarray(opened(world, made["main"]).convert("RGB")).astype(int)
    dark = np.flatnonzero((main.sum(axis=2) < 300).any(axis=0))
    assert abs((dark[-1] - dark[0] + 1) / 200 - 0.85) < 0.02
    assert tuple(main[2, 2]) == (255, 255, 255)
    assert world.events() == ["job.succeeded"]


def test_a_further_output_asks_no_network(world: GpuWorld) -> None:
    job_id = world.add()
    world.drain()
    before = world.job(job_id)
    more = ask(world, job_id, format="jpg", background="#ffffff", size="longest:64")
    assert output(world, more).status is JobStatus.QUEUED
    world.drain()
    row = output(world, more)
    assert (row.status, row.attempt, row.leased_until) == (JobStatus.SUCCEEDED, 1, None)
    assert opened(world, row).size == (64, 48)
    assert opened(world, row).getpixel((32, 24))[0] < 60
    assert world.segmenter.microbatches == [1]
    after = world.job(job_id)
    assert (after.status, after.attempt, after.completed_at) == (before.status, before.attempt, before.completed_at)
    assert world.events() == ["job.succeeded"]  # a further output tells nobody
    assert world.res.pulse.held() == []
    assert len(world.mattes()) == 1


def test_a_further_output_of_a_photo_with_alpha_of_its_own(world: GpuWorld) -> None:
    rgba = np.zeros((*PHOTO_HW, 4), np.uint8)
    rgba[24:72, 32:96] = (200, 100, 50, 255)
    job_id = world.add(png(rgba))
    world.drain()
    more = ask(world, job_id, size="longest:64")
    world.drain()
    assert opened(world, output(world, more)).getpixel((32, 24)) == (200, 100, 50, 255)
    assert world.segmenter.microbatches == []


def test_a_matte_that_cannot_be_read_now_is_not_lost(world: GpuWorld, settings: Settings) -> None:
    job_id = world.add()
    world.drain()
    [matte] = world.mattes()
    path = settings.files_path / matte.key
    kept = path.rename(path.with_suffix(".kept"))
    path.symlink_to("/proc/self/mem")  # opens, and can't be read: EIO
    more = ask(world, job_id)
    world.drain()
    assert output(world, more).status is JobStatus.QUEUED
    kept.replace(path)


def test_a_matte_that_is_lost_fails_the_output_and_not_the_job(world: GpuWorld) -> None:
    job_id = world.add()
    world.drain()
    [matte] = world.mattes()
    world.storage.delete(matte.key)
    more = ask(world, job_id)
    world.drain()
    row = output(world, more)
    assert (row.status, row.error_code) == (JobStatus.FAILED, "matte_lost")
    assert world.job(job_id).status is JobStatus.SUCCEEDED
    assert world.segmenter.microbatches == [1]
    assert world.events() == ["job.succeeded"]


def test_a_late_worker_cannot_finish_an_output(world: GpuWorld) -> None:
    job_id = world.add()
    world.drain()
    more = ask(world, job_id)
    terms = claiming.Terms("late", 60, world.res.terms.resolve)
    with world.res.sessions.begin() as session:
        [late] = claiming.claim(session, terms, limit=8, megapixels=100)
    assert (late.output_id, late.id, late.attempt, late.matte is not None) == (more, job_id, 1, True)
    with world.res.sessions.begin() as session:
        work.renew(session, [late.held], lease_s=90)
        left = session.scalar(select(Output.leased_until - func.now()).where(Output.id == more))
        assert left.total_seconds() > 80
        session.execute(update(Output).where(Output.id == more).values(leased_until=func.now()))
    with world.res.sessions.begin() as session:
        assert work.return_lost(session, max_crashes=3, limit=10) == 1
    assert output(world, more).crashes == 1
    world.drain()  # a suspect, alone
    done = output(world, more)
    assert (done.status, done.attempt) == (JobStatus.SUCCEEDED, 2)
    with world.res.sessions.begin() as session:
        assert not work.fail(session, late, JobError("job_broke", "late"))
        work.release(session, [late.held])
    assert output(world, more).sha256 == done.sha256


def test_a_full_store_is_a_passing_fault_of_the_output(world: GpuWorld) -> None:
    job_id = world.add()
    world.drain()
    more = ask(world, job_id)
    world.storage.is_full = True
    world.drain()
    assert (output(world, more).status, output(world, more).retries) == (JobStatus.QUEUED, 0)
    world.storage.is_full = False
    with world.res.sessions.begin() as session:
        session.execute(update(Output).values(due_at=func.now()).where(Output.id == more))
    world.drain()
    assert output(world, more).status is JobStatus.SUCCEEDED


def test_deleting_the_job_in_mid_work_leaves_no_file(world: GpuWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = world.add()
    world.drain()
    ask(world, job_id)
    submit = world.res.decoders.submit

    def purge_first(data: bytes, animated: str) -> object:
        with world.res.sessions.begin() as session:
            purge = purging.purge_files(session, session.get_one(Job, job_id))
        for key in purge.keys:
            world.storage.delete(key)
        return submit(data, animated)

    monkeypatch.setattr(type(world.res.decoders), "submit", lambda _, data, animated: purge_first(data, animated))
    world.drain()
    assert world.outputs(job_id) == []
    assert world.files() == []
    assert world.mattes() == []


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"status": JobStatus.CANCELED, "completed_at": func.now(), "due_at": None}, "no_matte"),
        ({}, "not_ready"),
    ],
)
def test_only_a_job_that_succeeded_has_further_outputs(world: GpuWorld, values: dict, code: str) -> None:
    job_id = world.add()
    if values:
        with world.res.sessions.begin() as session:
            session.execute(update(Job).values(**values))
    with pytest.raises(JobError) as caught:
        ask(world, job_id)
    assert caught.value.code == code


def test_outputs_share_turns_with_jobs(world: GpuWorld) -> None:
    job_id = world.add(photo(product=(1, 2, 3)))
    world.drain()
    for number in range(3):
        ask(world, job_id, f"more-{number}")
    world.add(photo(product=(3, 2, 1)))
    with world.res.sessions.begin() as session:
        claimed = claiming.claim(session, world.res.terms, limit=2, megapixels=100)
    assert {job.output_id is None for job in claimed} == {True, False}
