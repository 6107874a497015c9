"""The README's code is real."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

import packshot_client
from packshot_client import Client, WebhookVerificationError

_README = (Path(packshot_client.__file__).parents[1] / "README.md").read_text(encoding="utf-8")
_BLOCKS = re.findall(r"^```python\n(.*?)^```$", _README, flags=re.MULTILINE | re.DOTALL)


def test_every_block_is_python() -> None:
    assert len(_BLOCKS) == 3
    for block in _BLOCKS:
        compile(block, "README.md", "exec")


def test_the_receiver_verifies() -> None:
    secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    names: dict[str, object] = {}
    exec(_BLOCKS[2].replace("whsec_...", secret), names)
    body = json.dumps({"type": "job.succeeded", "timestamp": "2026-11-23T20:28:06Z", "data": {"id": "job_1"}})
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_1", now, body),
    }
    receive = names["receive"]
    assert callable(receive)
    assert receive(headers, body.encode()) == "job_1"
    with pytest.raises(WebhookVerificationError):
        receive(headers, body.replace("succeeded", "failed").encode())


def test_every_call_that_it_names_is_there() -> None:
    with Client("http://x", "k") as client:
        for group, call in re.findall(r"`(jobs|uploads|batches)\.(\w+)", _README):
            assert hasattr(getattr(client, group), call), f"{group}.{call}"
