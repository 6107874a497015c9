"""A batch once it runs: canceled, run again, listed, filtered; and nothing of it for another key."""

import json
from pathlib import Path

from sqlalchemy import func, select, update

from db.base import JobStatus
from db.batch_models import Batch, Upload
from db.models import Fetch, Job
from db.session import Sessions
from db.webhook_models import WebhookDelivery, WebhookEvent
from jobs import registry
from jobs.ids import parse_id
from jobs.models import Models
from tests.batches import cutout, items, jsonl, lines, read, submit, upload, zipped
from tests.fakes import fake_spec
from tests.integration.api.support import finish, photo, stored

URL = "https://shop.example/photos/mug.jpg"


def test_cancel_ends_what_has_not_ended(client, worker, sessions, settings) -> None:
    batch = submit(client, jsonl({"upload_id": upload(client)}, {"image_url": URL}, {"image_url": URL}))
    worker.work()
    finish(sessions, settings)
    reply = client.post(f"/v1/batches/{batch['id']}/cancel")
    assert reply.json()["status"] == "canceling"
    assert client.post(f"/v1/batches/{batch['id']}/cancel").status_code == 200
    worker.work()
    ended = read(client, batch)
    assert ended["status"] == "canceled"
    assert ended["request_counts"] == {"total": 3, "completed": 1, "failed": 0, "canceled": 2}
    assert client.post(f"/v1/batches/{batch['id']}/cancel").json()["code"] == "already_final"
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Fetch)) == 0
        assert session.scalars(select(WebhookEvent.type)).all() == ["batch.canceled"]


def test_a_batch_can_be_canceled_before_it_was_read(client, worker) -> None:
    batch = submit(client, jsonl({"image_url": URL}))
    client.post(f"/v1/batches/{batch['id']}/cancel")
    worker.work()
    assert (read(client, batch)["status"], items(client, batch)) == ("canceled", [])


def test_only_what_failed_is_run_again(client, worker, sessions, settings) -> None:
    manifest = jsonl(
        {"custom_id": "good", "upload_id": upload(client)},
        {"custom_id": "bad", "image_url": URL, "labels": {"sku": "1"}, "format": "webp"},
    )
    batch = submit(client, manifest)
    assert client.post(f"/v1/batches/{batch['id']}/retry").json()["code"] == "batch_not_ended"
    worker.work()
    finish(sessions, settings)
    fail(sessions, "bad")
    worker.sweep()
    assert read(client, batch)["request_counts"] == {"total": 2, "completed": 1, "failed": 1, "canceled": 0}
    [failure] = lines(client, batch, "errors")
    assert (failure["custom_id"], failure["error"]["code"]) == ("bad", "failed_image_download")
    again = client.post(f"/v1/batches/{batch['id']}/retry", json={"background": "#112233"})
    assert again.status_code == 202, again.text
    assert again.json()["retry_of"] == batch["id"]
    worker.work()
    [job] = items(client, again.json())
    assert (job["custom_id"], job["labels"], job["input"]["url"]) == ("bad", {"sku": "1"}, URL)
    assert (cutout(job)["format"], cutout(job)["background"]) == ("webp", "#112233")


def test_a_run_again_on_a_full_disk_may_be_asked_for_again(client, worker, monkeypatch) -> None:
    batch = submit(client, jsonl({"image_url": URL}))
    client.post(f"/v1/batches/{batch['id']}/cancel")
    worker.work()
    with monkeypatch.context() as patch:
        patch.setattr("api.batch_retry.TemporaryFile", lambda: Path("/dev/full").open("wb"))  # noqa: SIM115 - the code closes it
        full = client.post(f"/v1/batches/{batch['id']}/retry", json={"only": "all"})
    assert (full.status_code, full.json()["code"], full.json()["retryable"]) == (503, "storage_unavailable", True)
    assert client.post(f"/v1/batches/{batch['id']}/retry", json={"only": "all"}).status_code == 202


def test_all_is_run_again_with_other_options(client, worker, sessions, settings) -> None:
    batch = submit(client, zipped({"a.jpg": photo(), "b.jpg": photo()}), "photos.zip")
    worker.work()
    finish(sessions, settings)
    worker.sweep()
    nothing = client.post(f"/v1/batches/{batch['id']}/retry")
    assert (nothing.status_code, nothing.json()["code"]) == (409, "nothing_to_retry")
    assert client.post(f"/v1/batches/{batch['id']}/retry", json={"only": "some"}).json()["code"] == "invalid_option"
    again = client.post(f"/v1/batches/{batch['id']}/retry", json={"only": "all", "format": "jpg"}).json()
    worker.work()
    assert [(job["custom_id"], cutout(job)["format"]) for job in items(client, again)] == [
        ("a.jpg", "jpg"),
        ("b.jpg", "jpg"),
    ]
    first = items(client, batch)[0]
    assert client.delete(f"/v1/jobs/{first['id']}").status_code == 204
    worker.sweep()  # the photo stays: the second run needs it
    finish(sessions, settings)
    assert [job["status"] for job in items(client, again)] == ["succeeded", "succeeded"]


def fail(sessions: Sessions, custom_id: str) -> None:
    values = {"status": JobStatus.FAILED, "completed_at": func.now(), "error_code": "failed_image_download"}
    with sessions.begin() as session:
        session.execute(update(Job).where(Job.custom_id == custom_id).values(**values))


def test_lines_may_name_a_model_that_was_imported(client, worker, sessions) -> None:
    manifest = jsonl({"image_url": URL, "model": "fake@2"})
    with sessions.begin() as session:
        registry.register(session, fake_spec("2"), Models(()), key="models/x", size_bytes=1, source="test")
    batch = submit(client, manifest)
    worker.work()
    assert read(client, batch)["status"] == "in_progress"
    assert [job["params"]["model"] for job in items(client, batch)] == ["fake@2"]


def test_items_are_filtered_and_paged(client, worker, sessions) -> None:
    batch = submit(client, jsonl(*({"custom_id": f"c{n}", "image_url": URL} for n in range(5))))
    worker.work()
    fail(sessions, "c3")
    page = client.get(f"/v1/batches/{batch['id']}/items", params={"limit": 2})
    assert ([job["line"] for job in page.json()["data"]], page.json()["has_more"]) == ([1, 2], True)
    rest = client.get(page.links["next"]["url"])
    assert [job["line"] for job in rest.json()["data"]] == [3, 4]
    assert [job["custom_id"] for job in items(client, batch, status="failed")] == ["c3"]
    assert [job["line"] for job in items(client, batch, custom_id="c1")] == [2]
    bad = client.get(f"/v1/batches/{batch['id']}/items", params={"starting_after": "job_" + "0" * 32})
    assert bad.json()["code"] == "invalid_cursor"
    never = client.get(f"/v1/batches/{batch['id']}/items", params={"custom_id": "c\x00"})
    assert (never.status_code, never.json()["code"]) == (422, "invalid_custom_id")


def test_batches_are_listed_and_filtered(client, worker) -> None:
    batches = [submit(client, jsonl({"image_url": URL}))["id"] for _ in range(3)]
    worker.work()
    canceled = submit(client, b"\n")["id"]
    worker.work()
    page = client.get("/v1/batches", params={"limit": 2})
    assert [batch["id"] for batch in page.json()["data"]] == [canceled, batches[2]]
    assert [batch["id"] for batch in client.get(page.links["next"]["url"]).json()["data"]] == batches[1::-1]
    running = client.get("/v1/batches", params={"status": "in_progress"}).json()["data"]
    assert [batch["id"] for batch in running] == batches[::-1]


def test_batches_are_found_by_their_labels(client) -> None:
    spring, _ = (submit(client, jsonl({"image_url": URL}), labels=json.dumps({"season": s})) for s in ("ss", "aw"))

    def found(*labels: str) -> list[str]:
        return [batch["id"] for batch in client.get("/v1/batches", params={"label": labels}).json()["data"]]

    assert found("season:ss") == [spring["id"]]
    assert found("season:ss", "shop:eu") == []
    refused = client.get("/v1/batches", params={"label": "season"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_label")


def test_another_keys_batch_is_not_there(client, stranger, anonymous, worker) -> None:
    batch = submit(client, jsonl({"upload_id": upload(client)}))["id"]
    photo_id = upload(client)
    for method, path in (
        ("GET", f"/v1/batches/{batch}"),
        ("GET", f"/v1/batches/{batch}/items"),
        ("GET", f"/v1/batches/{batch}/results.zip"),
        ("GET", f"/v1/batches/{batch}/output.jsonl"),
        ("GET", f"/v1/batches/{batch}/errors.jsonl"),
        ("POST", f"/v1/batches/{batch}/cancel"),
        ("POST", f"/v1/batches/{batch}/retry"),
        ("GET", f"/v1/uploads/{photo_id}"),
        ("DELETE", f"/v1/uploads/{photo_id}"),
    ):
        assert stranger.request(method, path).status_code == 404, path
        assert anonymous.request(method, path).status_code == 401, path
    theirs = submit(stranger, jsonl({"upload_id": photo_id}))
    worker.work()
    assert read(stranger, theirs)["validation"]["errors"][0]["errors"][0]["code"] == "upload_not_found"


def test_the_same_submission_twice_makes_one_batch(client, files) -> None:
    key = {"Idempotency-Key": "autumn"}
    replies = [
        client.post("/v1/batches", files={"file": ("a.jsonl", jsonl({"image_url": URL}))}, headers=key)
        for _ in range(2)
    ]
    assert replies[0].json() == replies[1].json()
    assert replies[1].headers["Idempotent-Replayed"] == "true"
    assert len(stored(files)) == 1


def test_an_upload_waits_and_then_goes(client, worker, sessions, settings, files) -> None:
    waiting, used, deleted = upload(client), upload(client), upload(client)
    assert client.get(f"/v1/uploads/{waiting}").json()["filename"] == "mug.jpg"
    assert client.delete(f"/v1/uploads/{deleted}").status_code == 204
    assert client.get(f"/v1/uploads/{deleted}").status_code == 404
    submit(client, jsonl({"upload_id": used}))
    worker.work()
    with sessions.begin() as session:
        session.execute(update(Upload).values(expires_at=func.now()))
    worker.sweep()
    [kept] = [key for key in stored(files) if key.startswith("uploads/")]
    assert kept == f"uploads/{parse_id(used, 'upl_').hex}/photo"
    finish(sessions, settings)
    assert len(client.get("/v1/jobs", params={"status": "succeeded"}).json()["data"]) == 1


def test_bad_uploads_are_refused(client) -> None:
    assert client.post("/v1/uploads", files={"image_file": ("a.txt", b"hello")}).json()["code"] == "invalid_file_type"
    assert client.post("/v1/uploads", data={"format": "jpg"}).status_code == 415
    reply = client.post("/v1/uploads", files={"image_file": ("a.jpg", photo())}, data={"format": "jpg"})
    assert reply.json()["code"] == "unknown_field"
    assert client.post("/v1/uploads", json={}).json()["code"] == "missing_source"


def test_jobs_of_a_batch_are_told_of_where_that_is_asked_for(client, worker, sessions, settings) -> None:
    quiet, own = {"upload_id": upload(client)}, {"upload_id": upload(client), "webhook_url": "https://shop.example/own"}
    submit(client, jsonl(quiet, own), webhook_url="https://shop.example/hook")
    submit(client, jsonl(quiet), webhook_url="https://shop.example/hook", item_webhooks="true")
    worker.work()
    worker.work()
    finish(sessions, settings)
    worker.sweep()
    with sessions() as session:
        told = session.execute(select(WebhookEvent.type, WebhookDelivery.url).join(WebhookDelivery.event)).all()
    assert sorted(map(tuple, told)) == [
        ("batch.completed", "https://shop.example/hook"),
        ("batch.completed", "https://shop.example/hook"),
        ("job.succeeded", "https://shop.example/hook"),
        ("job.succeeded", "https://shop.example/own"),
    ]


def test_a_batch_past_its_deadline_expires(client, worker, sessions) -> None:
    batch = submit(client, jsonl({"image_url": URL}, {"image_url": URL}))
    worker.work()
    with sessions.begin() as session:
        session.execute(update(Batch).values(deadline_at=func.now()))
    worker.sweep()
    worker.work()
    expired = read(client, batch)
    assert expired["status"] == "expired"
    assert expired["request_counts"] == {"total": 2, "completed": 0, "failed": 2, "canceled": 0}
    assert {job["status"] for job in items(client, batch)} == {"expired"}
