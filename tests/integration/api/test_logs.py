"""What is logged of a photo's way: told by job, attempt and request; no key, secret or signed URL in any line."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from structlog.contextvars import merge_contextvars

from api.app import create_app
from config.scrubbing import scrub
from config.settings import Settings
from jobs.keys import IssuedKey
from jobs.models import Models
from tests.fakes import fake_spec
from tests.gpu_worker import GpuWorld, photo
from tests.integration.api.conftest import open_client
from tests.receivers import Receiver, reply
from worker import io

NEEDLE = "n33dle"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(lambda _: reply(200, photo())) as server:
        server.routes["/gone.png"] = lambda _: reply(404)
        yield server


@pytest.fixture
def world(settings: Settings) -> Iterator[GpuWorld]:
    world = GpuWorld(settings)
    yield world
    world.close()


def test_a_photo_by_url_from_request_to_webhook(
    settings: Settings, world: GpuWorld, key: IssuedKey, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    opened = Settings(**{**given, "egress_allow": (receiver.allow,), "model": "fake"})
    app = create_app(opened, models=Models((fake_spec(),)))
    with (
        caplog.at_level(logging.DEBUG),
        structlog.testing.capture_logs(processors=[merge_contextvars]) as events,
        open_client(app, key.token) as client,
    ):
        asked = [
            client.post(
                "/v1/jobs",
                json={
                    "image_url": receiver.url(f"{path}?X-Amz-Signature={NEEDLE}"),
                    "webhook_url": receiver.url(f"/hook?token={NEEDLE}"),
                },
                headers={"X-Request-Id": "asked-by-me"},
            ).json()
            for path in ("/mug.png", "/gone.png")
        ]
        res = io.build(opened)
        io.drain(res)
        world.drain()
        io.drain(res)
        res.close()
        made = asked[0]["id"]
        link = client.post(f"/v1/jobs/{made}/links", json={}).json()["outputs"][0]["url"]
        assert client.get(link.replace("signature=", f"signature={NEEDLE}")).status_code == 403
        client.get(f"/v1/jobs?starting_after={NEEDLE}")

    assert {each["request_id"] for each in events if each["event"] == "job_submitted"} == {"asked-by-me"}
    told = {(each["event"], each.get("job_id"), each.get("attempt")) for each in events}
    for event in ("photo_fetched", "job_succeeded", "webhook_sent"):
        assert (event, made, 1) in told
    assert ("fetch_failed", asked[1]["id"], 1) in told

    lines = [str(event) for event in events] + [scrub(record.getMessage()) for record in caplog.records]
    assert len(caplog.records) > len(asked)  # the libraries had something to say
    for secret in (NEEDLE, key.token, key.webhook_secret, key.token.rpartition("_")[2]):
        assert [line for line in lines if secret in line] == []
