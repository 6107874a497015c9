from collections.abc import Callable, Iterator

import pytest

from config.settings import Settings
from jobs.egress import Policy
from tests.gpu_worker import GpuWorld
from tests.integration.puts.support import World
from tests.receivers import Receiver, reply
from worker import io
from worker.http import HttpClient


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(lambda _: reply(200)) as server:
        yield server


@pytest.fixture
def build(settings: Settings, receiver: Receiver) -> Iterator[Callable[..., World]]:
    built: list[World] = []

    def make(*allow: str, **changes: object) -> World:
        given = {**settings.model_dump(), "egress_allow": (receiver.allow, *allow), "retry_backoff_s": 30}
        chosen = Settings(**{**given, **changes})
        client = HttpClient(Policy.from_settings(chosen), resolver=lambda _: ["127.0.0.1"])
        built.append(World(GpuWorld(chosen), io.build(chosen, client=client), receiver))
        return built[-1]

    yield make
    for world in built:
        world.io.close()
        world.gpu.close()
