"""Batches for tests: manifests, ZIPs, and an io worker and a sweeper that work in this process."""

import io as bytes_io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi.testclient import TestClient

from config.settings import Settings
from jobs.egress import Policy
from jobs.fields import Rules
from jobs.models import installed_models
from storage.local import LocalStorage
from tests.integration.api.support import photo
from worker import io, sweep
from worker.batch import Batching


def jsonl(*lines: Mapping[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = bytes_io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def post(client: TestClient, body: bytes, name: str = "manifest.jsonl", **fields: str) -> Any:
    return client.post("/v1/batches", files={"file": (name, body)}, data=fields)


def submit(client: TestClient, body: bytes, name: str = "manifest.jsonl", **fields: str) -> dict[str, Any]:
    reply = post(client, body, name, **fields)
    assert reply.status_code == 202, reply.text
    return reply.json()


def upload(client: TestClient, name: str = "mug.jpg") -> str:
    reply = client.post("/v1/uploads", files={"image_file": (name, photo())})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


def read(client: TestClient, batch: dict[str, Any]) -> dict[str, Any]:
    return dict(client.get(f"/v1/batches/{batch['id']}").json())


def items(client: TestClient, batch: dict[str, Any], **query: str) -> list[dict[str, Any]]:
    return list(client.get(f"/v1/batches/{batch['id']}/items", params=query).json()["data"])


def cutout(job: dict[str, Any]) -> dict[str, Any]:
    """The options of a job's one output."""
    [options] = job["params"]["outputs"]
    return dict(options)


def lines(client: TestClient, batch: dict[str, Any], name: str) -> list[dict[str, Any]]:
    reply = client.get(f"/v1/batches/{batch['id']}/{name}.jsonl")
    assert reply.status_code == 200, reply.text
    return [json.loads(line) for line in reply.text.splitlines()]


class BatchWorker:
    """Works on batches as an io worker's lane does, and sweeps. No photo is fetched, no webhook sent."""

    def __init__(self, settings: Settings) -> None:
        self.io = io.build(settings)
        self.sweeper = sweep.build(settings)
        self.lane = next(lane for lane in self.io.lanes if lane.name == "batch")

    @property
    def batching(self) -> Batching:
        """What the io worker's stretches of work get."""
        settings = self.io.settings
        policy = Policy.from_settings(settings)
        rules = Rules(installed_models().names, settings.model, policy, settings.max_megapixels)
        storage = LocalStorage(settings.files_path)
        sessions, bell, counters = self.io.sessions, self.io.bell, self.io.counters
        return Batching(settings, sessions, storage, bell, counters, lambda: rules, self.io.stop.is_set)

    def work(self) -> None:
        """Until no batch is due."""
        while self.lane.fill() or self.lane.running():
            for future in self.lane.running():
                future.result()

    def sweep(self) -> dict[str, int]:
        return sweep.sweep(self.sweeper)

    def close(self) -> None:
        self.io.close()
        self.sweeper.close()


@contextmanager
def batch_worker(settings: Settings) -> Iterator[BatchWorker]:
    worker = BatchWorker(settings)
    try:
        yield worker
    finally:
        worker.close()
