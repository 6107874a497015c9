"""Outputs by PUT to URLs of their callers: the job ends when that is done, whatever the caller's server does."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import httpx
import pytest
import structlog
from obstore import sign
from obstore.store import S3Store
from sqlalchemy import delete, func, select, text, update

from config.settings import Settings
from db import outgoing
from db.base import JobStatus
from db.batch_models import Batch
from db.batches import end_jobs
from db.models import Job, Output
from db.put_models import Put, PutStatus
from jobs import deadlines, outputs, puts, service
from jobs.egress import Policy
from jobs.ids import job_public_id
from jobs.output_params import OutputParams
from jobs.params import JobParams
from jobs.put_params import PutTarget
from storage.port import StorageUnavailableError
from tests import batch_rows
from tests.gpu_worker import GpuWorld
from tests.receivers import Receiver, redirect, reply
from tests.s3_server import S3Server
from worker import io, sweep
from worker import put as worker_put
from worker.http import HttpClient

SECRET = "X-Signature=0123456789abcdef"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(lambda _: reply(200)) as server:
        yield server


@dataclass
class World:
    gpu: GpuWorld
    io: io.IoResources
    receiver: Receiver

    def url(self, path: str = "/cutout.png") -> str:
        return f"{self.receiver.url(path)}?{SECRET}"

    def add(self, *targets: PutTarget, params: JobParams | None = None) -> UUID:
        puts = targets or (PutTarget("cutout", self.url()),)
        return self.gpu.add(params=params, puts=puts, webhook_url="https://shop.example/hook")

    def work(self) -> None:
        self.gpu.drain()
        io.drain(self.io)

    def again(self) -> None:
        """Warp time: what waits for its retry is due now."""
        with self.io.sessions.begin() as session:
            session.execute(update(Put).where(Put.due_at.is_not(None)).values(due_at=func.now()))
        io.drain(self.io)

    def puts(self, job_id: UUID) -> list[Put]:
        with self.io.sessions() as session:
            return list(session.scalars(select(Put).where(Put.job_id == job_id).order_by(Put.id)))

    def output(self, job_id: UUID, name: str = "cutout") -> Output:
        return next(output for output in self.gpu.outputs(job_id) if output.name == name)


def in_a_batch(world: World, job_id: UUID) -> UUID:
    """Make the job a line of a batch that no worker need look at."""
    batch_id = batch_rows.create(world.io.sessions, world.gpu.storage, b"{}")
    with world.io.sessions.begin() as session:
        session.execute(update(Batch).values(due_at=None))
        session.execute(update(Job).where(Job.id == job_id).values(batch_id=batch_id, line=1))
    return batch_id


@pytest.fixture
def build(settings: Settings, receiver: Receiver) -> Iterator[Callable[..., World]]:
    built: list[World] = []

    def make(*allow: str, **changes: object) -> World:
        given = {**settings.model_dump(), "egress_allow": (receiver.allow, *allow), "retry_backoff_s": 30}
        chosen = Settings(**{**given, **changes})
        client = HttpClient(Policy.from_settings(chosen), resolver=lambda _: ["127.0.0.1"])
        built.append(World(GpuWorld(chosen), io.build(chosen, client=client), receiver))
        return built[-1]

    yield make
    for world in built:
        world.io.close()
        world.gpu.close()


def test_a_job_succeeds_when_its_output_has_arrived(build: Callable[..., World]) -> None:
    world = build()
    job_id = world.add(PutTarget("cutout", world.url(), {"x-ms-blob-type": "BlockBlob"}))
    world.gpu.drain()
    job = world.gpu.job(job_id)
    assert (job.status, job.leased_until, job.completed_at) == (JobStatus.PROCESSING, None, None)
    assert (world.gpu.events(), world.output(job_id).put["status"]) == ([], "pending")
    io.drain(world.io)
    [received] = world.receiver.received
    output = world.output(job_id)
    assert (received.method, received.target) == ("PUT", f"/cutout.png?{SECRET}")
    assert received.body == world.gpu.read(output.key or "")
    assert received.headers["content-type"] == "image/png"
    assert received.headers["content-length"] == str(output.bytes)
    assert received.headers["x-ms-blob-type"] == "BlockBlob"
    job = world.gpu.job(job_id)
    assert job.status is JobStatus.SUCCEEDED
    assert job.completed_at >= output.completed_at
    assert job.expires_at is not None
    assert world.gpu.events() == ["job.succeeded"]
    [put] = world.puts(job_id)
    assert (put.status, put.url, put.headers, put.due_at) == (PutStatus.DONE, None, None, None)
    assert datetime.fromisoformat(output.put.pop("completed_at")) == put.completed_at
    assert output.put == {"status": "done", "host": f"127.0.0.1:{world.receiver.port}", "tries": 1, "error": None}


def test_a_header_of_the_callers_goes_before_ours(build: Callable[..., World]) -> None:
    world = build()
    world.add(PutTarget("cutout", world.url(), {"content-TYPE": "application/x-packshot"}))
    world.work()
    [received] = world.receiver.received
    assert received.headers["content-type"] == "application/x-packshot"


def test_the_job_waits_for_the_last_of_its_outputs(build: Callable[..., World]) -> None:
    world = build(put_max_tries=1)
    world.receiver.routes["/bad"] = lambda _: reply(500)
    params = JobParams((OutputParams("a"), OutputParams("b", "webp"), OutputParams("c")), "fake")
    bad = PutTarget("b", world.receiver.url("/bad"))
    job_id = world.add(PutTarget("a", world.url("/a")), bad, params=params)
    world.work()
    job = world.gpu.job(job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "put_failed")
    assert job.error_detail == "Output b: The server answered 500."
    assert {received.target for received in world.receiver.received} == {f"/a?{SECRET}", "/bad"}
    assert {output.name: output.status for output in world.gpu.outputs(job_id)} == dict.fromkeys(
        "abc", JobStatus.SUCCEEDED
    ), "what was made stays and can be downloaded"
    assert world.gpu.events() == ["job.failed"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_fault_is_tried_again(build: Callable[..., World], status: int) -> None:
    world = build()
    answers = [reply(status, headers={"Retry-After": "60"}), reply(status), reply(201)]
    world.receiver.routes["/cutout.png"] = lambda _: answers.pop(0)
    job_id = world.add()
    world.work()
    [put] = world.puts(job_id)
    with world.io.sessions() as session:
        away = put.due_at - session.scalars(select(func.now())).one()
    assert timedelta(seconds=50) < away <= timedelta(seconds=60), "as the server asked"
    assert (put.status, put.tries, put.error_detail) == (PutStatus.PENDING, 1, f"The server answered {status}.")
    assert world.gpu.job(job_id).status is JobStatus.PROCESSING
    world.again()
    world.again()
    assert world.gpu.job(job_id).status is JobStatus.SUCCEEDED
    assert world.output(job_id).put["tries"] == 3


@pytest.mark.parametrize("status", [301, 307, 400, 403, 404, 413])
def test_what_would_not_change_fails_at_once(build: Callable[..., World], status: int) -> None:
    world = build()
    world.receiver.routes["/cutout.png"] = lambda _: redirect(status, world.receiver.url("/elsewhere"))
    job_id = world.add()
    world.work()
    job = world.gpu.job(job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "put_failed")
    assert job.error_detail == f"Output cutout: The server answered {status}."
    assert len(world.receiver.received) == 1, "a redirect is not followed"
    assert world.puts(job_id)[0].url is None


def test_tries_come_to_an_end(build: Callable[..., World]) -> None:
    world = build(put_max_tries=3)
    world.receiver.routes["/cutout.png"] = lambda _: []
    job_id = world.add()
    world.work()
    world.again()
    assert world.gpu.job(job_id).status is JobStatus.PROCESSING
    world.again()
    assert world.gpu.job(job_id).error_detail == "Output cutout: The server could not be reached, or broke off."
    assert len(world.receiver.received) == 3


def test_a_put_that_breaks_its_worker_comes_to_an_end(
    build: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = build(put_max_tries=2)
    job_id = world.add()
    world.gpu.drain()
    calls: list[str] = []

    def breaks(*_: object, **__: object) -> None:
        calls.append("")
        raise MemoryError

    monkeypatch.setattr("storage.local.LocalStorage.open", breaks)
    io.drain(world.io)
    world.again()
    assert world.gpu.job(job_id).status is JobStatus.PROCESSING
    world.again()
    job, [put] = world.gpu.job(job_id), world.puts(job_id)
    assert (job.status, job.error_detail) == (JobStatus.FAILED, "Output cutout: The PUT broke off too often.")
    assert (put.status, put.url, len(calls)) == (PutStatus.FAILED, None, 2)


def test_a_slow_server_ends_with_the_deadline(build: Callable[..., World]) -> None:
    world = build(put_timeout_s=0.3, put_max_tries=1)

    def slow(_: object) -> Iterator[bytes]:
        time.sleep(1)
        yield b"HTTP/1.1 200 OK\r\n\r\n"

    world.receiver.routes["/cutout.png"] = slow
    job_id = world.add()
    world.work()
    assert world.gpu.job(job_id).error_detail == "Output cutout: The server did not answer in time."


def test_a_closed_address_is_never_called(build: Callable[..., World]) -> None:
    world = build()
    job_id = world.add(PutTarget("cutout", "http://127.0.0.2/cutout"))
    world.work()
    assert world.gpu.job(job_id).error_detail == "Output cutout: The URL's host has no public address."


def test_our_own_store_away_costs_the_put_no_try(build: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    world = build(put_max_tries=1)
    job_id = world.add()
    world.gpu.drain()

    def away(*_: object) -> None:
        raise StorageUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr("storage.local.LocalStorage.open", away)
        io.drain(world.io)
        world.again()
    [put] = world.puts(job_id)
    assert (put.status, put.tries) == (PutStatus.PENDING, 0)
    assert put.attempt >= 2
    world.again()
    assert world.gpu.job(job_id).status is JobStatus.SUCCEEDED


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
        outgoing.lock_job(canceling, job_id)
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


def test_to_a_url_that_a_real_store_signed(build: Callable[..., World], s3_server: S3Server, s3_bucket: str) -> None:
    world = build(s3_server.endpoint.replace("http://127.0.0.1", "127.0.0.1/32"))
    bucket = S3Store(s3_bucket, config={"endpoint": s3_server.endpoint}, client_options={"allow_http": True})
    hour = timedelta(hours=1)
    job_id = world.add(PutTarget("cutout", sign(bucket, "PUT", "shop/mug 1.png", hour)))
    world.work()
    job, output = world.gpu.job(job_id), world.output(job_id)
    assert (job.status, job.error_detail) == (JobStatus.SUCCEEDED, None)
    arrived = httpx.get(sign(bucket, "GET", "shop/mug 1.png", hour))
    assert arrived.content == world.gpu.read(output.key or "")
    assert arrived.headers["content-type"] == "image/png"
    forged = sign(bucket, "PUT", "shop/mug 1.png", hour).replace("mug", "cup")
    job_id = world.add(PutTarget("cutout", forged))
    world.work()
    assert world.gpu.job(job_id).error_detail == "Output cutout: The server answered 403."


def test_a_large_file_goes_in_pieces(build: Callable[..., World]) -> None:
    world = build()
    body = b"x" * 3_000_000
    world.gpu.storage.put("jobs/1/1/cutout.png", body)
    put = puts.ClaimedPut(
        UUID(int=1), UUID(int=1), "cutout", 1, 1, world.url(), {}, "host", "jobs/1/1/cutout.png", len(body), "png"
    )
    worker_put.send(put, world.io.settings, world.io.client, world.gpu.storage)
    assert world.receiver.received[0].body == body


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
