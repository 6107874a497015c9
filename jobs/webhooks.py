"""Webhooks as values: what is signed, what an answer means, when to try again. The rows are in `jobs.deliveries`.

Follows Standard Webhooks 1.0.0 (standardwebhooks.com): at least once, unordered, `webhook-id` the same over retries.
"""

import base64
import hashlib
import hmac
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

# Pauses after the first try, the second, ...: ten tries within about three days.
SCHEDULE = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
_JITTER = 0.1  # so that what failed together does not come back together
_THROTTLE = timedelta(minutes=1)  # least pause after an overloaded server's answer
_MAX_RETRY_AFTER = timedelta(hours=24)
_GONE = 410
_OVERLOADED = frozenset({429, 502, 504})
# An endpoint that fails for long is called ever less often, so that its backlog does not keep slots from others.
_EASE_OFF = 0.1
_MAX_EASE_OFF = timedelta(minutes=10)

ROTATION_OVERLAP = timedelta(hours=24)
"""How long the secret before signs beside the new one."""


class Judgement(Enum):
    """What an answer, or none, means for a delivery."""

    DELIVERED = auto()  # 2xx
    GONE = auto()  # 410: the receiver wants no more
    THROTTLE = auto()  # 429, 502, 504: the receiver is overloaded
    RETRY = auto()  # everything else; a redirect is not followed, so it is a failure too


@dataclass(frozen=True)
class Attempt:
    """One POST and what came back: a status, or a sentence why there is none."""

    http_status: int | None
    error: str | None
    excerpt: str | None
    took_ms: int
    retry_after_s: float = 0.0


def new_secret() -> str:
    """A fresh signing secret: `whsec_` and 32 random bytes in base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def signed_headers(signing: Sequence[str], *, event_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks, signed by each secret of `signing`; `now` has a zone."""
    timestamp = str(int(now.timestamp()))
    message = f"{event_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(secret, message) for secret in signing),
    }


def _signature(secret: str, message: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return f"v1,{base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()}"


def classify(http_status: int | None) -> Judgement:
    """What an answer means; None is no answer."""
    if http_status is None:
        return Judgement.RETRY
    if 200 <= http_status < 300:  # noqa: PLR2004 - the class of success
        return Judgement.DELIVERED
    if http_status == _GONE:
        return Judgement.GONE
    return Judgement.THROTTLE if http_status in _OVERLOADED else Judgement.RETRY


def ease_off(failing_for: timedelta) -> timedelta:
    """For how long the rest of an endpoint's backlog is left alone after one more failure."""
    return min(failing_for * _EASE_OFF, _MAX_EASE_OFF)


def next_attempt_at(
    attempt: int, judgement: Judgement, *, now: datetime, retry_after_s: float, rng: random.Random
) -> datetime | None:
    """When to try again after failed try number `attempt` (from 1), or None when that was the last one.

    The schedule and up to a tenth more; `Retry-After`, up to a day, where that is later.
    """
    if attempt > len(SCHEDULE):
        return None
    pause = SCHEDULE[attempt - 1]
    if judgement is Judgement.THROTTLE:
        pause = max(pause, _THROTTLE)
    asked = min(timedelta(seconds=retry_after_s), _MAX_RETRY_AFTER)
    return now + max(pause * (1 + rng.uniform(0, _JITTER)), asked)
