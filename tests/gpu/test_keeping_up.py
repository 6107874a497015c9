"""Decoders and encoders feed the device: a drain takes no longer than its slowest stage."""

import os
import time
from uuid import UUID

import pytest
from sqlalchemy import select

from db.base import JobStatus
from db.models import Job
from jobs.params import JobParams
from tests.gpu_worker import GpuWorld, png
from tests.images import draw

PHOTOS = 48
_SLACK = 1.6
"""Of a perfect overlap: filling the pipeline, emptying it, and a commit for each job."""


def stage_ms(world: GpuWorld, jobs: list[UUID]) -> dict[str, float]:
    """Summed over the jobs, by stage."""
    with world.res.sessions() as session:
        found = session.scalars(select(Job.metrics).where(Job.id.in_(jobs)))
        total: dict[str, float] = {}
        for metrics in found:
            for name, value in (metrics or {}).items():
                total[name] = total.get(name, 0.0) + float(value)
    return total


@pytest.mark.gpu
def test_the_device_does_not_wait_for_pictures(world: GpuWorld) -> None:
    photos = [png(draw("disc", "plain", (700 + n, 900)).image) for n in range(PHOTOS)]
    params = JobParams(model="unet-fast")
    # The first photo compiles loops and starts decoders.
    world.add(photos[0], params=params)
    world.drain()
    jobs = [world.add(data, params=params, megapixels=0.7) for data in photos]
    start = time.perf_counter()
    world.drain()
    wall_ms = (time.perf_counter() - start) * 1000
    assert set(world.statuses(jobs)) == {JobStatus.SUCCEEDED}
    spent = stage_ms(world, jobs)
    cores = os.cpu_count() or 1
    decoders, finishers = min(2, cores), min(4, cores)
    finishing_ms = sum(spent[name] for name in ("post_ms", "encode_ms"))
    # Where there are fewer cores than threads, the stages share them.
    busy_ms = spent["infer_ms"] + spent["decode_ms"] + finishing_ms
    slowest_ms = max(spent["infer_ms"], spent["decode_ms"] / decoders, finishing_ms / finishers, busy_ms / cores)
    assert wall_ms < _SLACK * slowest_ms, f"{wall_ms:.0f} ms for {spent}"
