"""The application on real servers, a client with a key, and another caller's client."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from config.settings import Settings
from db.session import Sessions
from jobs.keys import IssuedKey
from jobs.models import Models
from tests.batches import BatchWorker, batch_worker
from tests.factories import make_key
from tests.ports import free_port
from vision.segmenters.spec import ModelSpec

SPEC = ModelSpec(
    name="unet-fast",
    version="1",
    architecture="unet",
    encoder="none",
    decoder_channels=(8,),
    canvas_hw=(64, 64),
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    weights_sha256="",
)


def open_client(app: FastAPI, token: str | None) -> TestClient:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return TestClient(app, base_url="https://packshot.example", headers=headers, raise_server_exceptions=False)


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings, models=Models((SPEC,)))


@pytest.fixture
def key(sessions: Sessions) -> IssuedKey:
    with sessions.begin() as session:
        return make_key(session)


@pytest.fixture
def client(app: FastAPI, key: IssuedKey) -> Iterator[TestClient]:
    with open_client(app, key.token) as client:
        yield client


@pytest.fixture
def anonymous(app: FastAPI) -> TestClient:
    """Without a key."""
    return open_client(app, None)


@pytest.fixture
def stranger(app: FastAPI, sessions: Sessions) -> TestClient:
    """A caller with another key."""
    with sessions.begin() as session:
        return open_client(app, make_key(session, "other").token)


@pytest.fixture
def files(settings: Settings) -> Path:
    return settings.files_path


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    """The application on a port."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        threading.Event().wait(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def worker(settings: Settings) -> Iterator[BatchWorker]:
    with batch_worker(settings) as worker:
        yield worker
