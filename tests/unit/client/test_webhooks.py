"""Verification of webhooks, against signatures of the independent `standardwebhooks` library."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from jobs.webhooks import new_secret
from packshot_client import WebhookVerificationError, verify_webhook

SECRET, OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", new_secret()
BODY = json.dumps({"type": "job.succeeded", "timestamp": "2026-11-23T20:28:06Z", "data": {"id": "job_ü"}}).encode()


def signed(*secrets: str, at: datetime | None = None, body: bytes = BODY) -> dict[str, str]:
    at = at or datetime.now(UTC)
    signatures = [Webhook(secret).sign("evt_1", at, body.decode()) for secret in secrets]
    return {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": " ".join(signatures),
    }


def test_a_good_one() -> None:
    for body in (BODY, BODY.decode()):
        event = verify_webhook(body, signed(SECRET), SECRET)
        assert (event.id, event.type, event.data) == ("evt_1", "job.succeeded", {"id": "job_ü"})
        assert event.timestamp == datetime(2026, 11, 23, 20, 28, 6, tzinfo=UTC)
    assert verify_webhook(BODY, signed(SECRET), SECRET.removeprefix("whsec_")).id == "evt_1"


def test_during_a_rotation() -> None:
    assert verify_webhook(BODY, signed(OTHER, SECRET), SECRET).id == "evt_1"  # the service signs with both
    assert verify_webhook(BODY, signed(SECRET), [OTHER, SECRET]).id == "evt_1"  # the receiver knows both
    headers = signed(SECRET)
    headers["Webhook-Signature"] = f"v1a,x v1 {headers['Webhook-Signature']} v1,"
    assert verify_webhook(BODY, headers, SECRET).id == "evt_1"


def test_clocks_may_differ_by_five_minutes() -> None:
    now = datetime.now(UTC)
    for minutes, is_good in [(-4.9, True), (4.9, True), (-5.1, False), (5.1, False)]:
        headers = signed(SECRET, at=now + timedelta(minutes=minutes))
        if is_good:
            assert verify_webhook(BODY, headers, SECRET, now_s=now.timestamp())
        else:
            with pytest.raises(WebhookVerificationError, match="far from now"):
                verify_webhook(BODY, headers, SECRET, now_s=now.timestamp())
    old = signed(SECRET, at=now - timedelta(days=1))
    assert verify_webhook(BODY, old, SECRET, tolerance_s=86_500)


@pytest.mark.parametrize(
    "change",
    [
        {"Webhook-Signature": None}, {"Webhook-Id": None}, {"Webhook-Timestamp": None}, {"Webhook-Id": "evt_2"},
        {"Webhook-Signature": ""}, {"Webhook-Signature": "v1,"}, {"Webhook-Signature": "v2,QUJD"},
        {"Webhook-Timestamp": "now"}, {"Webhook-Timestamp": "-5"}, {"Webhook-Timestamp": "9" * 5000},
        {"Webhook-Timestamp": "1²"},
    ],
)  # fmt: skip
def test_bad_headers(change: dict[str, str | None]) -> None:
    headers = {name: value for name, value in (signed(SECRET) | change).items() if value is not None}
    with pytest.raises(WebhookVerificationError):
        verify_webhook(BODY, headers, SECRET)


def test_a_changed_body_and_a_wrong_secret() -> None:
    with pytest.raises(WebhookVerificationError, match="No signature"):
        verify_webhook(BODY.replace(b"succeeded", b"failed"), signed(SECRET), SECRET)
    with pytest.raises(WebhookVerificationError, match="No signature"):
        verify_webhook(BODY, signed(OTHER), SECRET)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"type": "x"}', b'{"type": 1, "timestamp": "x", "data": {}}'])
def test_signed_but_no_event(body: bytes) -> None:
    with pytest.raises(WebhookVerificationError):
        verify_webhook(body, signed(SECRET, body=body), SECRET)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_???"])
def test_a_secret_that_is_none(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        verify_webhook(BODY, signed(SECRET), secret)
