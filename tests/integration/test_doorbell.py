"""Doorbells are coalesced, bounded in time, and losing them loses nothing but seconds."""

import time
from collections.abc import Iterator

import pytest
from redis import Redis

from cli.embedded import EmbeddedBroker
from config.settings import Settings
from dispatch.celery_app import build_celery
from dispatch.doorbell import Doorbell
from dispatch.names import Bell


@pytest.fixture
def bell(broker: str) -> Iterator[Doorbell]:
    settings = Settings(broker_url=broker)
    doorbell = Doorbell(settings, build_celery(settings))
    yield doorbell
    doorbell.close()


def waiting(broker: str, queue: str) -> int:
    with Redis.from_url(broker) as client:
        return int(client.llen(queue))


def test_many_rings_are_one_message(bell: Doorbell, broker: str) -> None:
    assert all(bell.ring(Bell.GPU) for _ in range(1000))
    assert waiting(broker, "gpu") == 1
    assert waiting(broker, "io") == 0


def test_an_answered_bell_rings_again(bell: Doorbell, broker: str) -> None:
    bell.ring(Bell.IO)
    bell.answer(Bell.IO)
    bell.ring(Bell.IO)
    assert waiting(broker, "io") == 2


def test_the_sweeper_rings_in_any_case(bell: Doorbell, broker: str) -> None:
    bell.ring(Bell.GPU)
    with Redis.from_url(broker) as client:
        client.delete("gpu")  # the message is lost, the mark is not
    bell.ring(Bell.GPU)
    assert waiting(broker, "gpu") == 0
    bell.ring(Bell.GPU, again=True)
    assert waiting(broker, "gpu") == 1


def test_the_sweeper_rings_for_hours_and_nobody_listens(bell: Doorbell, broker: str) -> None:
    assert all(bell.ring(Bell.GPU, again=True) for _ in range(50))
    assert waiting(broker, "gpu") == 1


def test_a_flushed_broker_takes_messages_again(bell: Doorbell, broker: str) -> None:
    bell.ring(Bell.GPU)
    with Redis.from_url(broker) as client:
        client.flushall()
    bell.ring(Bell.GPU)
    assert waiting(broker, "gpu") == 1


def test_a_dead_broker_costs_little_time_and_no_error(tmp_path) -> None:
    server = EmbeddedBroker(tmp_path)
    settings = Settings(broker_url=server.url)
    doorbell = Doorbell(settings, build_celery(settings))
    assert doorbell.ring(Bell.GPU)
    server.stop()
    begun = time.monotonic()
    assert not any(doorbell.ring(Bell.GPU) for _ in range(100))
    doorbell.answer(Bell.GPU)
    assert time.monotonic() - begun < 3
    assert not doorbell.is_reachable()
    server.restart()
    try:
        time.sleep(2.1)
        assert doorbell.ring(Bell.GPU, again=True)
        assert waiting(server.url, "gpu") >= 1
    finally:
        doorbell.close()
        server.stop()
