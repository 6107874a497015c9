"""Who holds a PUT, and what becomes of it when its job or output ends otherwise."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import structlog
from sqlalchemy import delete, func, select, text, update

from db import jobs as job_rows
from db.base import JobStatus
from db.batches import end_jobs
from db.models import Job, Output
from db.put_models import Put, PutStatus
from jobs import deadlines, outputs, puts, service
from jobs.ids import job_public_id
from jobs.output_params import OutputParams
from jobs.put_params import PutTarget
from tests.integration.puts.support import SECRET, World, in_a_batch
from tests.receivers import reply
from worker import io, sweep
from worker import put as worker_put


def test_a_late_worker_settles_nothing(build: Callable[..., World]) -> None:
    world = build()
    job_id = world.add()
    world.gpu.drain()
    with world.io.sessions.begin() as session:
        [late] = puts.claim(session, limit=1, lease_s=60)
    assert SECRET not in repr(late)
    world.again()
    assert world.gpu.job(job_id).status is JobStatus.SUCCEEDED
    needs = worker_put.Putting(world.io.settings, world.io.sessions, world.gpu.storage, world.io.client, world.io.bell)
    with structlog.testing.capture_logs() as logs:
        worker_put.run(needs, late)
    assert [line["settled"] for line in logs if line["event"] == "output_put"] == [False]
    assert SECRET not in str(logs)
    assert world.gpu.events() == ["job.succeeded"]


@pytest.mark.parametrize("how", ["cancel", "expire", "delete", "batch"])
@pytest.mark.parametrize("when", ["queued", "made"])
def test_a_job_that_ends_before_is_not_put(build: Callable[..., World], how: str, when: str) -> None:
    world = build()
    job_id = world.add()
    if when == "made":
        world.gpu.drain()
    batch_id = in_a_batch(world, job_id) if how == "batch" else None
    with world.io.sessions.begin() as session:
        if batch_id is not None:
            end_jobs(session, batch_id, to=JobStatus.CANCELED, limit=10)
        elif how == "cancel":
            service.cancel(session, job_public_id(job_id), api_key_id=world.gpu.key)
        elif how == "delete":
            service.delete(session, job_public_id(job_id), api_key_id=world.gpu.key)
        else:
            deadlines.expire(session, [job_id])
    world.work()
    assert world.receiver.received == []
    left = world.puts(job_id)
    assert [(put.status, put.url) for put in left] == ([] if how == "delete" else [(PutStatus.CANCELED, None)])
    shown = [output.put["status"] for output in world.gpu.outputs(job_id)]
    assert shown == (["canceled"] if when == "made" and how != "delete" else [])


def test_a_put_of_a_batch_tells_its_batch(build: Callable[..., World]) -> None:
    world = build()
    job_id = world.add()
    batch_id = in_a_batch(world, job_id)
    world.gpu.drain()
    with world.io.sessions.begin() as session:
        [claimed] = puts.claim(session, limit=1, lease_s=60)
    assert claimed.about == {"job_id": job_public_id(job_id), "attempt": 1, "batch_id": f"batch_{batch_id.hex}"}


def test_a_claim_waits_for_no_cancel(build: Callable[..., World]) -> None:
    """A PUT whose file is gone ends its job, and it takes the job's lock first, as a cancel does."""
    world = build()
    job_id = world.add()
    world.gpu.drain()
    with world.io.sessions.begin() as session:
        session.execute(delete(Output).where(Output.job_id == job_id))
    with world.io.sessions.begin() as canceling, world.io.sessions.begin() as session:
        job_rows.lock(canceling, job_id)
        session.execute(text("SET LOCAL lock_timeout = '1s'"))
        assert len(puts.claim(session, limit=1, lease_s=60)) == 1
    world.again()
    job = world.gpu.job(job_id)
    assert (job.status, job.error_detail) == (JobStatus.FAILED, "Output cutout: The file is not there any more.")


def test_the_lease_outlasts_a_slow_store_and_a_slow_server(build: Callable[..., World]) -> None:
    world = build(put_timeout_s=60, storage_timeout_s=30)
    leases: list[timedelta] = []

    def look(_: object) -> list[bytes]:
        with world.io.sessions() as session:
            leases.append(session.scalars(select(Put.due_at - func.now())).one())
        return reply(200)

    world.receiver.routes["/cutout.png"] = look
    world.add()
    world.work()
    assert leases[0] > timedelta(seconds=30 + 30 + 60 + 30 + 30), "each request to the store may be sent twice"


def test_a_job_that_waits_for_its_put_is_in_no_workers_hands(build: Callable[..., World]) -> None:
    """No sweep takes it for lost, and no gpu worker makes it again."""
    world = build()
    job_id = world.add()
    world.gpu.drain()
    before = world.gpu.job(job_id)
    sweeper = sweep.build(world.io.settings)
    sweep.sweep(sweeper)
    sweeper.close()
    world.gpu.make_due()
    world.gpu.drain()
    after = world.gpu.job(job_id)
    assert (after.status, after.attempt, after.crashes) == (JobStatus.PROCESSING, before.attempt, 0)
    assert world.gpu.segmenter.microbatches == [1]


def test_a_further_output_succeeds_after_its_put(build: Callable[..., World]) -> None:
    world = build(put_max_tries=1)
    job_id = world.gpu.add()
    world.gpu.drain()

    def ask(name: str, path: str) -> None:
        with world.io.sessions.begin() as session:
            target = PutTarget(name, world.url(path))
            outputs.add(session, job_public_id(job_id), OutputParams(name), api_key_id=world.gpu.key, put=target)

    ask("good", "/good")
    ask("bad", "/bad")
    world.receiver.routes["/bad"] = lambda _: reply(404)
    world.gpu.drain()
    assert world.output(job_id, "good").status is JobStatus.PROCESSING
    io.drain(world.io)
    good, bad = world.output(job_id, "good"), world.output(job_id, "bad")
    assert (good.status, good.put["status"]) == (JobStatus.SUCCEEDED, "done")
    assert (bad.status, bad.error_code, bad.put["status"]) == (JobStatus.FAILED, "put_failed", "failed")
    assert bad.key is not None
    assert world.gpu.job(job_id).status is JobStatus.SUCCEEDED


def test_a_further_output_that_fails_is_not_put(build: Callable[..., World]) -> None:
    world = build()
    job_id = world.gpu.add()
    world.gpu.drain()
    with world.io.sessions.begin() as session:
        params = OutputParams("tiny", "tiff", max_bytes=1000)
        target = PutTarget("tiny", world.url())
        outputs.add(session, job_public_id(job_id), params, api_key_id=world.gpu.key, put=target)
    world.work()
    output, [put] = world.output(job_id, "tiny"), world.puts(job_id)
    assert (output.status, output.error_code) == (JobStatus.FAILED, "output_too_large")
    assert (put.status, put.url, output.put["status"]) == (PutStatus.CANCELED, None, "canceled")


def test_purged_jobs_keep_no_url(build: Callable[..., World]) -> None:
    world = build()
    job_id = world.add()
    world.work()
    with world.io.sessions.begin() as session:
        session.execute(update(Job).values(expires_at=func.now() - timedelta(days=1)))
    sweeper = sweep.build(world.io.settings)
    sweep.sweep(sweeper)
    sweeper.close()
    assert world.puts(job_id) == []
    assert world.gpu.files() == []
