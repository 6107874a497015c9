"""The workers and the sweeper on a bucket of a real S3 server."""

from datetime import timedelta

import pytest
from sqlalchemy import func, update

from config.settings import Settings
from db.base import JobStatus
from db.models import Job
from storage.keys import output_key
from storage.opening import open_storage
from tests.fakes import keys_of
from tests.gpu_worker import GpuWorld
from tests.s3_main import LISTED_AT_ONCE
from tests.s3_server import S3Server
from worker import sweep


@pytest.fixture
def settings(settings: Settings, s3_server: S3Server, s3_bucket: str) -> Settings:
    changes = {"storage_url": f"s3://{s3_bucket}/packshot", "storage_endpoint": s3_server.endpoint}
    return settings.model_copy(update={**changes, "orphan_pause_s": 0.0})


def test_a_photo_goes_through_a_bucket(settings: Settings) -> None:
    world = GpuWorld(settings, storage=open_storage(settings))
    try:
        job_id = world.add()
        world.drain()
        world.assert_each_done_once([job_id])
    finally:
        world.close()


def test_the_sweeper_finds_orphans_page_by_page(settings: Settings) -> None:
    """What is young stays, what rows name stays, the rest goes; twice in a row changes nothing."""
    storage = open_storage(settings)
    world = GpuWorld(settings, storage=storage)
    patient = sweep.build(settings)
    eager = sweep.build(settings.model_copy(update={"orphan_age": timedelta(0)}))
    try:
        job_id = world.add()
        world.drain()
        named = set(keys_of(storage))
        orphans = {output_key(job_id, 100 + number, "cutout", "png") for number in range(2 * LISTED_AT_ONCE + 3)}
        for key in orphans:
            storage.put(key, b"late")
        assert sweep.sweep(patient)["orphans"] == 0
        assert sweep.sweep(eager)["orphans"] == len(orphans)
        assert set(keys_of(storage)) == named
        assert sweep.sweep(eager)["orphans"] == 0
    finally:
        patient.close()
        eager.close()
        world.close()


def test_retention_empties_the_bucket(settings: Settings) -> None:
    storage = open_storage(settings)
    world = GpuWorld(settings, storage=storage)
    sweeper = sweep.build(settings)
    try:
        job_id = world.add()
        world.drain()
        with world.res.sessions.begin() as session:
            session.execute(update(Job).values(expires_at=func.now() - timedelta(days=1)))
        assert sweep.sweep(sweeper)["purged"] == 1
        assert keys_of(storage) == []
        assert world.job(job_id).status is JobStatus.SUCCEEDED
    finally:
        sweeper.close()
        world.close()
