"""Photos, and jobs brought to an end without a worker."""

import hashlib
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from PIL import Image

from config.settings import Settings
from db.base import Verdict
from db.session import Sessions
from jobs import claiming, work
from jobs.filenames import content_disposition, output_filename
from jobs.ids import job_public_id, new_id
from jobs.values import NewMatte, Outcome, StoredOutput
from storage.keys import matte_key, output_key
from storage.opening import open_storage
from storage.port import Served
from vision.formats import MEDIA_TYPES

TERMS = claiming.Terms(worker="gpu0@test", lease_s=60, resolve=lambda _: ("unet-fast@1", "torch"))
CUTOUT = b"a cutout's bytes" * 1000
MATTE = b"a matte's bytes"


def photo(kind: str = "JPEG", size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(buffer, kind)
    return buffer.getvalue()


def submit(client: TestClient, body: bytes | None = None, name: str = "mug.jpg", **options: str) -> dict[str, Any]:
    reply = client.post("/v1/jobs", files={"image_file": (name, body or photo())}, data=options)
    assert reply.status_code == 202, reply.text
    return reply.json()


def finish(sessions: Sessions, settings: Settings) -> None:
    """Do for every due job what a gpu worker does."""
    storage = open_storage(settings)
    with sessions.begin() as session:
        claimed = claiming.claim(session, TERMS, limit=50, megapixels=1e6)
    for job in claimed:
        matte_id = new_id()
        storage.put(matte_key(matte_id), MATTE)
        sha256 = hashlib.sha256(CUTOUT).hexdigest()
        outputs = []
        for asked in job.params.outputs:
            key = output_key(job.id, job.attempt, asked.name, asked.format)
            filename = output_filename(job.filename, job_public_id(job.id), asked.name, asked.format)
            storage.put(key, CUTOUT, Served(MEDIA_TYPES[asked.format], content_disposition(filename)))
            outputs.append(
                StoredOutput(asked.name, key, asked.format, sha256, 40, 30, len(CUTOUT), params=asked.to_json())
            )
        matte = NewMatte(matte_id, matte_key(matte_id), hashlib.sha256(MATTE).hexdigest(), 40, 30, len(MATTE))
        made = Outcome(outputs, Verdict.PASS, [], {}, "unet-fast@1", "torch", {"infer_ms": 5}, matte)
        with sessions.begin() as session:
            assert work.complete(session, job, made)


def stored(files: Path) -> list[str]:
    """Every file in the store."""
    return sorted(path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_file())


@contextmanager
def working(sessions: Sessions, settings: Settings) -> Iterator[None]:
    """Do what a gpu worker does, again and again."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            finish(sessions, settings)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
