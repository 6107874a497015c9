"""Regions of interest are judged by the photos' sizes before anything is queued, as far as these are known."""

import io
from typing import Any

from fastapi.testclient import TestClient
from PIL import Image

from tests.batches import BatchWorker, jsonl, post, submit, zipped
from tests.integration.api.support import photo


def turned() -> bytes:
    """40x30 as stored, 30x40 as shown."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 30)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def outputs(roi: str) -> list[dict[str, str]]:
    return [{"name": "main", "roi": roi}]


def bad_lines(report: dict[str, Any]) -> list[tuple[int, list[str]]]:
    return [(line["line"], [error["code"] for error in line["errors"]]) for line in report["errors"]]


def judged_twice(client: TestClient, worker: BatchWorker, body: bytes, name: str, **fields: str) -> list[Any]:
    """The bad lines, of which the look ahead and the worker must tell the same."""
    plan = post(client, body, name, validate_only="true", **fields).json()
    batch = submit(client, body, name, skip_invalid="true", **fields)
    worker.work()
    seen = client.get(f"/v1/batches/{batch['id']}").json()
    found = bad_lines(plan)
    assert bad_lines(seen["validation"]) == found
    return found


def test_photos_of_a_zip(client: TestClient, worker: BatchWorker) -> None:
    files = {"a.jpg": photo(), "b.jpg": photo(size=(20, 30)), "c.jpg": turned(), "d.jpg": b"no photo"}
    found = judged_twice(client, worker, zipped(files), "m.zip", outputs='[{"name": "main", "roi": "0 0 35 20"}]')
    assert found == [(2, ["roi_exceeds_bounds"]), (3, ["roi_exceeds_bounds"]), (4, ["invalid_file_type"])]


def test_uploads(client: TestClient, worker: BatchWorker) -> None:
    flat, stood = (
        client.post("/v1/uploads", files={"image_file": ("a.jpg", body)}).json()["id"] for body in (photo(), turned())
    )
    manifest = jsonl(
        {"upload_id": flat, "outputs": outputs("0 0 40px 30px")},
        {"upload_id": flat, "outputs": outputs("0 0 30 40")},
        {"upload_id": flat, "outputs": outputs("10% 10% 10% 90%")},
        {"upload_id": stood, "outputs": outputs("0 0 30 40")},
        {"upload_id": stood, "outputs": outputs("0 0 40 30")},
        {"image_url": "https://shop.example/mug.jpg", "outputs": outputs("0 0 9000 9000")},  # who knows
    )
    found = judged_twice(client, worker, manifest, "m.jsonl")
    assert found == [(2, ["roi_exceeds_bounds"]), (3, ["roi_region_empty"]), (5, ["roi_exceeds_bounds"])]
