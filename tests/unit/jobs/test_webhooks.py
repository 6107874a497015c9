"""Webhooks as values: signatures that a stranger's library verifies, a schedule, the meaning of answers."""

import base64
import json
import random
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, strategies
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from jobs.webhooks import SCHEDULE, Judgement, classify, next_attempt_at, signed_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = '{"type":"job.succeeded","data":{"labels":{"name":"Schuhgröße 42 é"}}}'.encode()
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def signed(now: datetime | None = None, body: bytes = BODY) -> dict[str, str]:
    return signed_headers([SECRET], event_id="evt_1", now=now or datetime.now(UTC), body=body)


def test_the_reference_library_verifies_our_signature() -> None:
    assert Webhook(SECRET).verify(BODY, signed()) == json.loads(BODY)


def test_the_known_answer_of_the_specification() -> None:
    """The example of Standard Webhooks' own test suites."""
    headers = signed_headers(
        [SECRET],
        event_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        now=datetime.fromtimestamp(1614265330, UTC),
        body=b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_another_zone_signs_the_same_moment() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    assert signed(elsewhere) == signed(NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "evt_2"},
        {"webhook-timestamp": str(int(datetime.now(UTC).timestamp()) - 1)},
        {"webhook-signature": "v1,AAAA"},
    ],
)
def test_a_tampered_header_is_found_out(change: dict[str, str]) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY, {**signed(), **change})


def test_a_tampered_body_is_found_out() -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY.replace(b"42", b"43"), signed())


def test_another_secret_does_not_verify() -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(BODY, signed())


def test_an_old_message_is_refused_by_its_receiver() -> None:
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(SECRET).verify(BODY, signed(datetime.now(UTC) - timedelta(minutes=6)))


@given(strategies.binary(min_size=24, max_size=64), strategies.text(strategies.characters(exclude_categories=["Cs"])))
def test_every_secret_and_body_verifies(key: bytes, text: str) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    body = json.dumps({"text": text}, ensure_ascii=False).encode()
    headers = signed_headers([secret], event_id="evt_1", now=datetime.now(UTC), body=body)
    assert Webhook(secret).verify(body, headers) == {"text": text}


@pytest.mark.parametrize(
    ("status", "judgement"),
    [
        (200, Judgement.DELIVERED),
        (202, Judgement.DELIVERED),
        (204, Judgement.DELIVERED),
        (299, Judgement.DELIVERED),
        (199, Judgement.RETRY),
        (301, Judgement.RETRY),
        (302, Judgement.RETRY),
        (307, Judgement.RETRY),
        (400, Judgement.RETRY),
        (401, Judgement.RETRY),
        (404, Judgement.RETRY),
        (410, Judgement.GONE),
        (429, Judgement.THROTTLE),
        (500, Judgement.RETRY),
        (502, Judgement.THROTTLE),
        (503, Judgement.RETRY),
        (504, Judgement.THROTTLE),
        (None, Judgement.RETRY),
    ],
)
def test_what_an_answer_means(status: int | None, judgement: Judgement) -> None:
    assert classify(status) is judgement


def again(attempt: int, judgement: Judgement = Judgement.RETRY, retry_after_s: float = 0) -> timedelta | None:
    at = next_attempt_at(attempt, judgement, now=NOW, retry_after_s=retry_after_s, rng=random.Random(1))
    return None if at is None else at - NOW


def test_the_schedule_is_that_of_standard_webhooks() -> None:
    seconds = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert [pause.total_seconds() for pause in SCHEDULE] == seconds
    for attempt, pause in enumerate(seconds, start=1):
        assert pause <= again(attempt).total_seconds() <= pause * 1.1
    assert again(10) is None


def test_jitter_spreads_what_failed_together() -> None:
    rng = random.Random(1)
    times = {next_attempt_at(3, Judgement.RETRY, now=NOW, retry_after_s=0, rng=rng) for _ in range(20)}
    assert len(times) == 20


def test_retry_after_is_honoured_up_to_a_day() -> None:
    assert again(1, retry_after_s=3600) == timedelta(hours=1)
    assert again(4, retry_after_s=60) >= timedelta(hours=2)
    assert again(1, retry_after_s=1e9) == timedelta(days=1)


def test_an_overloaded_receiver_gets_a_minute() -> None:
    assert timedelta(minutes=1) <= again(1, Judgement.THROTTLE) <= timedelta(minutes=1.1)
    assert again(2, Judgement.THROTTLE) >= timedelta(minutes=5)
