"""Files of outputs go to their callers' URLs: sent once, tried again, given up."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from uuid import UUID

import httpx
import pytest
from obstore import sign
from obstore.store import S3Store
from sqlalchemy import func, select

from db.base import JobStatus
from db.put_models import PutStatus
from jobs import puts
from jobs.output_params import OutputParams
from jobs.params import JobParams
from jobs.put_params import PutTarget
from storage.port import StorageUnavailableError
from tests.integration.puts.support import SECRET, World
from tests.receivers import redirect, reply
from tests.s3_server import S3Server
from worker import io
from worker import put as worker_put


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
