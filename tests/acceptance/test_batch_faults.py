"""An io worker killed with -9 while it makes jobs of a batch: each line has one job in the end, and the counts fit."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from cli.embedded import EmbeddedBroker, EmbeddedDatabase
from config.settings import Settings
from db.batch_models import Batch, Upload
from db.migrate import upgrade
from db.models import Job
from jobs.ids import parse_id
from tests.acceptance.stack import RunningStack, running_stack
from tests.batches import jsonl, zipped
from tests.images import draw
from tests.photo_files import save

PHOTO = save(draw("disc", "plain", (16, 16)).image, "PNG")
WAIT_S = 60.0


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    """Without a gpu worker: jobs stay queued."""
    # Not under pytest's own folder: as root the database runs under a user that can't look into it.
    folder = Path("/tmp", f"packshot-batch-faults-{os.getpid()}")
    database, broker = EmbeddedDatabase(folder / "postgres"), EmbeddedBroker(folder / "valkey")
    upgrade(database.url)
    settings = Settings(
        database_url=database.url, broker_url=broker.url, data_dir=folder, sweep_s=0.5, heartbeat_s=1, log_format="json"
    )
    with running_stack(settings, "api", "io", "sweeper") as stack:
        yield stack
        stack.stop()
    broker.stop()
    database.stop()
    shutil.rmtree(folder)


def submit(stack: RunningStack, body: bytes, name: str) -> UUID:
    reply = stack.client.post("/v1/batches", files={"file": (name, body)})
    assert reply.status_code == 202, reply.text
    batch_id = parse_id(reply.json()["id"], "batch_")
    assert batch_id is not None
    return batch_id


def row(stack: RunningStack, batch_id: UUID) -> Batch:
    with stack.sessions() as session:
        return session.get_one(Batch, batch_id)


def wait_until(stack: RunningStack, batch_id: UUID, is_so: Callable[[Batch], bool]) -> Batch:
    deadline = time.monotonic() + WAIT_S
    while not is_so(batch := row(stack, batch_id)):
        assert time.monotonic() < deadline, f"{vars(batch)}\n{stack.log('io')[-4000:]}"
        time.sleep(0.002)
    return batch


def kill_when(stack: RunningStack, batch_id: UUID, is_so: Callable[[Batch], bool]) -> Batch:
    """Kill the io worker at that moment; what it left, with its lease run out and another worker at the start."""
    wait_until(stack, batch_id, is_so)
    stack.kill("io")
    left = row(stack, batch_id)
    with stack.sessions.begin() as session:
        session.execute(update(Batch).where(Batch.id == batch_id).values(due_at=func.now()))
    stack.start("io")
    return left


def check(stack: RunningStack, batch_id: UUID, lines: int) -> None:
    """One job a line, and after a cancel the counts as the caller sees them."""
    wait_until(stack, batch_id, lambda batch: batch.status == "in_progress" and batch.due_at is None)
    with stack.sessions() as session:
        of_batch = select(func.count(), func.count(func.distinct(Job.line)), func.min(Job.line), func.max(Job.line))
        assert session.execute(of_batch.where(Job.batch_id == batch_id)).one() == (lines, lines, 1, lines)
    url = f"/v1/batches/batch_{batch_id.hex}"
    assert stack.client.post(f"{url}/cancel").status_code == 200
    wait_until(stack, batch_id, lambda batch: batch.completed_at is not None)
    shown: dict[str, Any] = stack.client.get(url).json()
    assert (shown["status"], shown["validation"]["valid"]) == ("canceled", lines)
    assert shown["request_counts"] == {"total": lines, "completed": 0, "failed": 0, "canceled": lines}


def test_killed_while_lines_become_jobs(stack: RunningStack) -> None:
    lines = 4000
    upload = stack.client.post("/v1/uploads", files={"image_file": ("mug.png", PHOTO)}).json()["id"]
    batch_id = submit(stack, jsonl(*[{"upload_id": upload}] * lines), "manifest.jsonl")
    judged = kill_when(stack, batch_id, lambda batch: batch.lines > 0)
    assert (judged.status, 0 < judged.lines < lines) == ("validating", True)
    left = kill_when(stack, batch_id, lambda batch: batch.made > 0)
    assert (left.status, 0 < left.made < lines) == ("in_progress", True)
    check(stack, batch_id, lines)


def test_killed_while_photos_of_a_zip_become_jobs(stack: RunningStack) -> None:
    photos = 1100
    batch_id = submit(stack, zipped({f"{n}.png": PHOTO for n in range(photos)}), "photos.zip")
    stored = kill_when(stack, batch_id, lambda batch: batch.lines > 0)
    assert (stored.status, 0 < stored.lines < photos) == ("validating", True)
    left = kill_when(stack, batch_id, lambda batch: batch.made > 0)
    assert (left.status, 0 < left.made < photos) == ("in_progress", True)
    check(stack, batch_id, photos)
    with stack.sessions() as session:
        keys = session.scalars(select(Upload.key).where(Upload.batch_id == batch_id)).all()
        used = session.scalar(select(func.count(func.distinct(Job.input_key))).where(Job.batch_id == batch_id))
    assert (len(keys), used) == (photos, photos)
    assert all((stack.settings.files_path / key).is_file() for key in keys)
