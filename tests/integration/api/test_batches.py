"""A batch as its owner sends it: judged line by line, made jobs, its results read."""

import io
import zipfile

import pytest
from sqlalchemy import func, select

from db.batch_models import Batch
from db.models import Fetch, Job
from db.webhook_models import WebhookDelivery, WebhookEvent
from tests.batches import cutout, items, jsonl, lines, post, read, submit, upload, zipped
from tests.integration.api.support import CUTOUT, finish, photo, stored
from vision.codec.signature import READ_HERE

URL = "https://shop.example/photos/mug.jpg"


def test_a_manifest_becomes_jobs_and_their_results(client, worker, sessions, settings) -> None:
    manifest = jsonl(
        {"custom_id": "MUG-1", "upload_id": upload(client), "format": "jpg", "labels": {"sku": "MUG-1"}},
        {"custom_id": "MUG-2", "upload_id": upload(client)},
    )
    batch = submit(client, manifest, background="white", labels='{"season": "autumn"}')
    assert (batch["status"], batch["request_counts"]["total"]) == ("validating", 0)
    assert items(client, batch) == []
    worker.work()
    running = read(client, batch)
    assert (running["status"], running["request_counts"]["total"], running["progress"]) == ("in_progress", 2, 0.0)
    first, second = items(client, batch)
    assert (first["custom_id"], first["line"], cutout(first)["format"]) == ("MUG-1", 1, "jpg")
    assert first["labels"] == {"sku": "MUG-1"}
    assert (cutout(second)["format"], cutout(second)["background"]) == ("png", "#ffffff")
    assert first["batch_id"] == batch["id"]
    with sessions() as session:
        assert set(session.scalars(select(Job.priority))) == {2}
    finish(sessions, settings)
    worker.sweep()
    done = read(client, batch)
    assert done["status"] == "completed"
    assert done["request_counts"] == {"total": 2, "completed": 2, "failed": 0, "canceled": 0}
    assert (done["verdicts"], done["progress"], done["labels"]) == ({"pass": 2}, 1.0, {"season": "autumn"})
    assert [line["custom_id"] for line in lines(client, batch, "output")] == ["MUG-1", "MUG-2"]
    assert lines(client, batch, "errors") == []
    with sessions() as session:  # one event for the batch, none for its jobs
        assert session.scalars(select(WebhookEvent.type)).all() == ["batch.completed"]


def test_results_come_as_a_zip_with_a_manifest(client, worker, sessions, settings) -> None:
    names = ["red/mug.jpg", "red\\MUG.png", "../../etc/passwd", "CON", "=1+1"]
    manifest = jsonl(*({"custom_id": name, "upload_id": upload(client)} for name in names))
    batch = submit(client, manifest)
    worker.work()
    assert client.get(f"/v1/batches/{batch['id']}/results.zip").json()["code"] == "not_ready"
    finish(sessions, settings)
    worker.sweep()
    reply = client.get(f"/v1/batches/{batch['id']}/results.zip")
    assert reply.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "red/mug.png", "red/MUG-2.png", "etc/passwd.png", "_CON.png", "=1+1.png", "manifest.csv"
        ]  # fmt: skip
        assert archive.read("red/mug.png") == CUTOUT
        table = archive.read("manifest.csv").decode().splitlines()
    assert table[0].startswith("line,custom_id,job_id,status")
    assert table[5].startswith("5,'=1+1,job_")
    assert len(table) == 6


def test_one_bad_line_and_nothing_runs(client, worker, sessions) -> None:
    manifest = (
        jsonl(
            {"custom_id": "a", "image_url": URL},
            {"custom_id": "a", "image_url": URL, "format": "bmp"},
            {"image_url": "http://10.0.0.1/mug.jpg", "upload_id": "upl_1"},
            {"upload_id": "upl_" + "0" * 32},
            {"custom_id": "e"},
        )
        + b"not json\n"
    )
    batch = submit(client, manifest, webhook_url="https://shop.example/hook")
    worker.work()
    failed = read(client, batch)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "invalid_lines")
    assert (failed["validation"]["lines"], failed["validation"]["invalid"]) == (6, 5)
    codes = {line["line"]: {error["code"] for error in line["errors"]} for line in failed["validation"]["errors"]}
    assert codes == {
        2: {"duplicate_custom_id", "invalid_format"},
        3: {"invalid_image_url", "upload_not_found", "multiple_sources"},
        4: {"upload_not_found"},
        5: {"missing_source"},
        6: {"invalid_json"},
    }
    assert [line["line"] for line in lines(client, batch, "errors")] == [2, 3, 4, 5, 6]
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0
        assert session.scalars(select(WebhookEvent.type)).all() == ["batch.failed"]
        assert session.scalars(select(WebhookDelivery.url)).all() == ["https://shop.example/hook"]


def test_good_lines_run_where_that_is_asked_for(client, worker, sessions) -> None:
    batch = submit(client, jsonl({"image_url": URL}, {"image_url": "ftp://x"}, {"image_url": URL}), skip_invalid="true")
    worker.work()
    assert read(client, batch)["request_counts"]["total"] == 2
    assert [(job["line"], job["custom_id"]) for job in items(client, batch)] == [(1, "1"), (3, "3")]
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Fetch)) == 2


@pytest.mark.parametrize(
    ("body", "name", "code"),
    [
        (b"[1]", "a.json", "invalid_manifest"),
        (b"\x00\x01", "photo.bin", "invalid_manifest"),
        (b"PK\x03\x04 and no more", "a.zip", "invalid_archive"),
        (b"", "a.jsonl", "missing_source"),
    ],
)
def test_a_file_that_is_no_batch_is_refused_at_once(client, files, body: bytes, name: str, code: str) -> None:
    reply = post(client, body, name)
    assert (reply.status_code, reply.json()["code"]) == (422, code)
    assert stored(files) == []


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"format": "bmp"}, "/format", "invalid_format"),
        ({"image_url": URL}, "/image_url", "unknown_field"),
        ({"validate_only": "perhaps"}, "/validate_only", "invalid_option"),
        ({"webhook_url": "http://10.0.0.1/"}, "/webhook_url", "invalid_webhook_url"),
        ({"colour": "red"}, "/colour", "unknown_field"),
    ],
)
def test_bad_fields_are_refused_at_once(client, fields: dict[str, str], pointer: str, code: str) -> None:
    reply = post(client, jsonl({"image_url": URL}), **fields)
    assert reply.status_code == 422
    assert [(error["pointer"], error["code"]) for error in reply.json()["errors"]] == [(pointer, code)]


def test_an_empty_batch_fails(client, worker) -> None:
    batch = submit(client, b"custom_id,image_url\n\n", "empty.csv")
    worker.work()
    assert read(client, batch)["error"]["code"] == "empty_batch"


def test_a_look_ahead_makes_nothing(client, sessions, files) -> None:
    manifest = jsonl({"image_url": URL}, {"image_url": URL, "model": "nonsense"})
    plan = post(client, manifest, validate_only="true")
    assert plan.status_code == 200
    assert (plan.json()["lines"], plan.json()["valid"], plan.json()["would_run"]) == (2, 1, False)
    assert plan.json()["error"]["code"] == "invalid_lines"
    assert [(line["line"], line["errors"][0]["code"]) for line in plan.json()["errors"]] == [(2, "unknown_model")]
    assert post(client, manifest, validate_only="true", skip_invalid="true").json()["would_run"] is True
    archive = zipped({"mug.jpg": photo(), "notes.txt": b"hello"})
    assert post(client, archive, "photos.zip", validate_only="true").json()["errors"] == [
        {
            "line": 2,
            "custom_id": "notes.txt",
            "errors": [{"pointer": "", "code": "invalid_file_type", "detail": f"Not a {READ_HERE} file."}],
        }
    ]
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Batch)) == 0
    assert stored(files) == []


def test_a_csv_with_options_and_labels(client, worker) -> None:
    table = f"custom_id;image_url;format;labels.sku\r\nMUG-1;{URL};jpg;12\r\n\r\nMUG-2;{URL};;\r\n"
    batch = submit(client, b"\xef\xbb\xbf" + table.encode(), "autumn.csv")
    worker.work()
    first, second = items(client, batch)
    assert (first["line"], cutout(first)["format"], first["labels"]) == (2, "jpg", {"sku": "12"})
    assert (second["line"], cutout(second)["format"], second["labels"]) == (4, "png", {})


def test_a_zip_of_photos(client, worker, sessions, settings, files) -> None:
    archive = zipped(
        {
            "autumn/": b"",
            "autumn/mug.jpg": photo(),
            "autumn/plate.png": photo("PNG"),
            "__MACOSX/autumn/._mug.jpg": b"litter",
            ".DS_Store": b"litter",
        }
    )
    batch = submit(client, archive, "photos.zip", format="jpg")
    worker.work()
    assert [(job["custom_id"], job["input"]["format"]) for job in items(client, batch)] == [
        ("autumn/mug.jpg", "jpeg"),
        ("autumn/plate.png", "png"),
    ]
    finish(sessions, settings)
    worker.sweep()
    assert read(client, batch)["status"] == "completed"
    for job in items(client, batch):
        assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    worker.sweep()
    assert not [key for key in stored(files) if key.startswith(("jobs/", "uploads/"))]


def test_bad_photos_in_a_zip_are_bad_lines(client, worker) -> None:
    archive = zipped({"mug.jpg": photo(), "../mug.jpg": photo(), "half.jpg": photo()[:20], "empty.png": b""})
    batch = submit(client, archive, "photos.zip")
    worker.work()
    errors = {line["custom_id"]: line["errors"][0]["code"] for line in read(client, batch)["validation"]["errors"]}
    assert errors == {
        "../mug.jpg": "invalid_archive_entry",
        "half.jpg": "failed_to_read_image",
        "empty.png": "failed_to_read_image",
    }
    assert items(client, batch) == []
