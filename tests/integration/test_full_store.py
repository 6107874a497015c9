"""A store that stays full: photos are computed a few times, not over and over, and none is lost."""

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from config.settings import Settings
from db.base import JobStatus
from db.models import Job
from storage.breaker import BreakerState
from tests.gpu_worker import GpuWorld, photo

JOBS = 12
PAUSE_S = 1.0


@pytest.fixture
def world(settings: Settings, request: pytest.FixtureRequest) -> Iterator[GpuWorld]:
    changes = {"decode_processes": 1, "encode_threads": 1, "microbatch_images": 1, "storage_pause_s": PAUSE_S}
    changes |= {"storage_failures": request.param, "pipeline_megapixels": 100.0}
    world = GpuWorld(settings.model_copy(update=changes))
    yield world
    world.close()


@pytest.mark.parametrize("world", [2], indirect=True)
def test_a_full_queue_waits_for_room(world: GpuWorld) -> None:
    jobs = [world.add(photo(product=(value, 0, 0)), megapixels=50.0) for value in range(JOBS)]
    world.storage.is_full = True
    world.drain()
    burst = sum(world.segmenter.microbatches)
    assert 2 <= burst <= 5, "what was in flight when the second one failed is worked off"
    assert world.res.gate.state is BreakerState.OPEN
    started = time.monotonic()
    for _ in range(20):
        world.make_due()
        world.drain()
    tried = sum(world.segmenter.microbatches) - burst
    assert tried <= (time.monotonic() - started) / PAUSE_S + 1, "one a pause"
    assert world.statuses(jobs) == [JobStatus.QUEUED] * JOBS
    assert [world.job(job_id).retries for job_id in jobs] == [0] * JOBS
    world.storage.is_full = False
    ends_at = time.monotonic() + 60
    while set(world.statuses(jobs)) != {JobStatus.SUCCEEDED} and time.monotonic() < ends_at:
        world.make_due()
        world.drain()
        time.sleep(0.1)
    world.assert_each_done_once(jobs)
    assert world.res.gate.state is BreakerState.CLOSED
    assert sum(world.segmenter.microbatches) == JOBS + burst + tried


@pytest.mark.parametrize("world", [0], indirect=True)
def test_each_time_a_job_waits_longer(world: GpuWorld) -> None:
    job_id = world.add()
    world.storage.is_full = True
    base_s = world.res.settings.retry_backoff_s
    for outages in range(4):
        world.make_due()
        world.drain()
        with world.res.sessions() as session:
            pause, counted = session.execute(select(Job.due_at - func.now(), Job.outages).where(Job.id == job_id)).one()
        assert counted == outages + 1
        assert timedelta(seconds=base_s * 2**outages * 2 - 30) < pause <= timedelta(seconds=base_s * 2**outages * 4)
    assert pause > timedelta(seconds=base_s * 4), "longer than the first one can be"
    world.storage.is_full = False
    world.make_due()
    world.drain()
    world.assert_each_done_once([job_id])
