"""The Python client against the real API: PostgreSQL, Valkey, and a server that listens."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from config.settings import Settings
from db.models import Job as Row
from db.session import Sessions
from jobs.keys import IssuedKey, Scope
from packshot_client import (
    AsyncClient,
    AuthenticationError,
    Client,
    ConflictError,
    InvalidRequestError,
    Job,
    NotFoundError,
    PermissionDeniedError,
    WaitTimeoutError,
)
from tests.factories import make_key
from tests.integration.api.support import CUTOUT, MATTE, photo, working


@pytest.fixture
def packshot(url: str, key: IssuedKey) -> Iterator[Client]:
    with Client(url, key.token, trust_env=False) as client:
        yield client


def count(sessions: Sessions) -> int:
    with sessions.begin() as session:
        return session.scalar(select(func.count()).select_from(Row)) or 0


def test_cut_out_in_one_call(packshot: Client, sessions: Sessions, settings: Settings, tmp_path: Path) -> None:
    with working(sessions, settings):
        made = packshot.cut_out(photo(), to=tmp_path / "mug.png", filename="mug.jpg", labels={"sku": "MUG-1"})
    assert made.content == CUTOUT == (tmp_path / "mug.png").read_bytes()
    job = made.job
    assert (job.status, job.verdict, job.model, job.input.filename) == ("succeeded", "pass", "unet-fast@1", "mug.jpg")
    assert job.input.sha256 == hashlib.sha256(photo()).hexdigest()
    assert job.labels == {"sku": "MUG-1"}
    assert job.completed_at is not None
    assert job.completed_at >= job.created_at
    assert [(output.name, output.sha256) for output in job.outputs] == [
        ("cutout", hashlib.sha256(CUTOUT).hexdigest())
    ]  # fmt: skip
    assert job.matte is not None
    assert packshot.jobs.read_matte(job) == MATTE
    packshot.jobs.delete(job)
    with pytest.raises(NotFoundError):
        packshot.jobs.get(job.id)


def test_the_same_by_asyncio(url: str, key: IssuedKey, sessions: Sessions, settings: Settings, tmp_path: Path) -> None:
    async def many() -> list[Job]:
        async with AsyncClient(url, key.token, trust_env=False) as packshot:
            made = await asyncio.gather(*(packshot.cut_out(photo(size=(20 + n, 20))) for n in range(5)))
            await packshot.jobs.download(made[0].job, tmp_path / "a.png")
            return [job async for job in packshot.jobs.iterate(status="succeeded")]

    with working(sessions, settings):
        jobs = asyncio.run(many())
    assert sorted(job.input.width or 0 for job in jobs) == [20, 21, 22, 23, 24]
    assert (tmp_path / "a.png").read_bytes() == CUTOUT


def test_a_reply_that_got_lost_makes_no_second_job(url: str, key: IssuedKey, sessions: Sessions) -> None:
    class Loses(httpx.HTTPTransport):
        """Sends the first two requests and loses what came back."""

        lost = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            if self.lost < 2:
                self.lost += 1
                response.close()
                message = "reset by peer"
                raise httpx.ReadError(message, request=request)
            return response

    with Client(url, key.token, transport=Loses(), sleep=lambda _: None) as packshot:
        job = packshot.jobs.create(photo(), filename="mug.jpg", format="jpg")
    assert job.status == "queued"
    assert count(sessions) == 1


def test_one_key_of_ones_own_is_one_job(packshot: Client, sessions: Sessions) -> None:
    first, again = (packshot.jobs.create(photo(), idempotency_key="order-7") for _ in range(2))
    assert first.id == again.id
    with pytest.raises(InvalidRequestError) as caught:
        packshot.jobs.create(photo(size=(9, 9)), idempotency_key="order-7")
    assert caught.value.code == "idempotency_key_reused"
    assert count(sessions) == 1


def test_waiting(packshot: Client, sessions: Sessions, settings: Settings) -> None:
    job = packshot.jobs.create(photo())
    with pytest.raises(WaitTimeoutError, match=job.id):
        packshot.jobs.wait(job, timeout_s=1)
    with working(sessions, settings):
        assert packshot.jobs.wait(job, timeout_s=30).status == "succeeded"
        assert packshot.jobs.create(photo(size=(8, 8)), wait_s=30).status == "succeeded"


def test_pages_and_filters(packshot: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packshot_client.calls.PAGE", 2)
    made = [packshot.jobs.create(photo(), priority="bulk", labels={"n": str(n)}).id for n in range(5)]
    packshot.jobs.cancel(made[2])
    assert [job.id for job in packshot.jobs.iterate()] == made[::-1]
    assert [job.id for job in packshot.jobs.iterate(status="canceled")] == [made[2]]
    assert packshot.jobs.get(made[0]).priority == "bulk"
    page = packshot.jobs.page(limit=2, starting_after=made[4])
    assert ([job.id for job in page.data], page.has_more) == ([made[3], made[2]], True)
    assert [job.id for job in packshot.jobs.page(ending_before=made[3]).data] == [made[4]]


def test_cancel_is_final(packshot: Client, sessions: Sessions, settings: Settings) -> None:
    job = packshot.jobs.create(photo())
    assert packshot.jobs.cancel(job).status == "canceled"
    assert packshot.jobs.cancel(job).status == "canceled"
    with working(sessions, settings):
        done = packshot.jobs.create(photo(), wait_s=30)
    with pytest.raises(ConflictError) as caught:
        packshot.jobs.cancel(done)
    assert caught.value.code == "already_final"


def test_what_the_service_refuses(packshot: Client, url: str, sessions: Sessions, stranger: TestClient) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        packshot.jobs.create(b"no photo", filename="mug.jpg")
    assert (caught.value.status, caught.value.code) == (415, "invalid_file_type")
    with pytest.raises(InvalidRequestError) as caught:
        packshot.jobs.create(photo(), background="no colour", format="gif")  # type: ignore[arg-type]
    assert {field.pointer for field in caught.value.problem.errors} == {"/background", "/format"}
    assert caught.value.request_id
    with pytest.raises(NotFoundError):
        packshot.jobs.get("job_" + "0" * 32)
    job = packshot.jobs.create(photo())
    with pytest.raises(ConflictError) as not_ready:
        packshot.jobs.read_output(job)
    assert not_ready.value.code == "not_ready"
    assert stranger.get(f"/v1/jobs/{job.id}").status_code == 404
    with Client(url, "pk_live_unknown_key", trust_env=False) as other, pytest.raises(AuthenticationError):
        other.jobs.get(job.id)
    with sessions.begin() as session:
        reader = make_key(session, "reader", scopes=[Scope.JOBS_READ])
    with Client(url, reader.token, trust_env=False) as other, pytest.raises(PermissionDeniedError):
        other.jobs.create(photo())


def test_a_further_output(packshot: Client, sessions: Sessions, settings: Settings) -> None:
    with working(sessions, settings):
        job = packshot.jobs.create(photo(), wait_s=30, outputs=[{"name": "main", "format": "png"}])
        assert [output.name for output in job.outputs] == ["main"]
        assert packshot.jobs.read_output(job, "main") == CUTOUT
    made = packshot.jobs.add_output(job, name="wide", format="jpg", size="200x100")
    assert (made.name, made.status, made.format) == ("wide", "queued", "jpg")
    with pytest.raises(WaitTimeoutError):
        packshot.jobs.wait_output(job, "wide", timeout_s=0)


def test_the_service_itself(packshot: Client) -> None:
    assert [model.name for model in packshot.models()] == ["unet-fast"]
    assert "png" in packshot.limits().output_formats


def test_a_batch(packshot: Client) -> None:
    upload = packshot.uploads.create(photo(), filename="mug.jpg")
    assert packshot.uploads.get(upload.id) == upload
    lines = [{"custom_id": "mug", "upload_id": upload.id, "format": "webp"}, {"custom_id": "x", "format": "gif"}]
    plan = packshot.batches.check(lines)
    assert (plan.valid, plan.invalid, plan.would_run) == (1, 1, False)
    assert plan.errors[0].custom_id == "x"
    batch = packshot.batches.create(lines, skip_invalid=True, labels={"season": "autumn"})
    assert (batch.status, batch.is_final, batch.labels) == ("validating", False, {"season": "autumn"})
    assert [found.id for found in packshot.batches.iterate()] == [packshot.batches.get(batch.id).id]
    assert list(packshot.batches.items(batch)) == []
    with pytest.raises(WaitTimeoutError):
        packshot.batches.wait(batch, timeout_s=0)
    assert packshot.batches.cancel(batch).status in {"canceling", "canceled"}
    packshot.uploads.delete(upload)
