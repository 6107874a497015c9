"""A receiver, and an io worker that calls it."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from api.app import create_app
from config.settings import Settings
from jobs.models import Models
from tests.integration.api.conftest import SPEC
from tests.integration.api.webhooks.support import Drain
from tests.receivers import Received, Receiver, reply
from worker import io


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(lambda _: reply(204)) as server:
        yield server


@pytest.fixture
def settings(settings: Settings, receiver: Receiver) -> Settings:
    return Settings(**{**settings.model_dump(), "egress_allow": (receiver.allow,)})


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings, models=Models((SPEC,)))


@pytest.fixture
def drain(settings: Settings, receiver: Receiver) -> Iterator[Drain]:
    """Work off what is due; returns the calls that it made."""
    res = io.build(settings)

    def run() -> list[Received]:
        before = len(receiver.received)
        io.drain(res)
        return receiver.received[before:]

    yield run
    res.close()
