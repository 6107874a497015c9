"""The API as other services' clients meet it: a real server with a worker behind it, and a name that leads there."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import trustme
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from config.settings import Settings
from jobs.egress import Policy
from jobs.models import Models
from tests.gpu_worker import GpuWorld
from tests.integration.api.conftest import SPEC
from worker import io
from worker.http import HttpClient

REMOVE_BG = "api.remove.bg"
_PAUSE_S = 0.02


def make_app(settings: Settings) -> FastAPI:
    """An API whose only model is the tests' own."""
    return create_app(settings, models=Models((replace(SPEC, name="fake"),)))


@contextmanager
def working(settings: Settings) -> Iterator[GpuWorld]:
    """A gpu and an io worker that take whatever comes; every host's name leads the io worker to this machine."""
    world = GpuWorld(settings.model_copy(update={"decode_processes": 1}))
    fetcher = io.build(settings, client=HttpClient(Policy.from_settings(settings), resolver=lambda _: ["127.0.0.1"]))
    stop = threading.Event()

    def repeat(step: Callable[[], object]) -> None:
        while not stop.wait(_PAUSE_S):
            step()

    threads = [threading.Thread(target=repeat, args=(step,)) for step in (world.drain, lambda: io.drain(fetcher))]
    for thread in threads:
        thread.start()
    try:
        yield world
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        fetcher.close()
        world.close()


@contextmanager
def serving(app: FastAPI, *, authority: trustme.CA | None = None) -> Iterator[int]:
    """The application on a port of its own, over TLS as `REMOVE_BG` where there is an authority."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None)
    if authority is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(REMOVE_BG).configure_cert(tls)
        config.load()
        config.ssl = tls
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(_PAUSE_S)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def lead_to(port: int) -> Callable[..., Any]:
    """A `socket.getaddrinfo` by which `REMOVE_BG` is that port of this machine: what a hosts entry does."""
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        if host == REMOVE_BG:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        return look_up(host, *args, **options)

    return getaddrinfo


def write_authority(folder: Path) -> tuple[trustme.CA, Path]:
    """A certificate authority that only its file's readers trust."""
    authority = trustme.CA()
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return authority, path
