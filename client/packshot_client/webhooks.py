"""Verifying webhooks, by Standard Webhooks 1.0.0 (standardwebhooks.com)."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from packshot_client.errors import UnexpectedReplyError, WebhookVerificationError
from packshot_client.models import Event
from packshot_client.reading import read

TOLERANCE_S = 300.0
_PREFIX = "whsec_"
_MAX_DIGITS = 12


def verify_webhook(
    body: bytes | str,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    *,
    tolerance_s: float = TOLERANCE_S,
    now_s: float | None = None,
) -> Event:
    """Check that a webhook came from Packshot, just now, as it is; returns its event.

    `body` is the body as it came, before any parsing. `headers` in any case. `secret` is `whsec_...`, or several while
    one takes the place of another: one good signature by one of them is enough. An event can come more than once; its
    `id` tells. `now_s` is the time in Unix seconds, for tests.

    Raises `WebhookVerificationError`; `ValueError` where a secret is none.
    """
    keys = [_key(each) for each in ([secret] if isinstance(secret, str) else secret)]
    raw = body.encode() if isinstance(body, str) else body
    given = {name.lower(): value for name, value in headers.items()}
    try:
        event_id, timestamp, signatures = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as error:
        raise WebhookVerificationError(f"There is no header {error}.") from None
    _check_time(timestamp, time.time() if now_s is None else now_s, tolerance_s)
    signed = f"{event_id}.{timestamp}.".encode() + raw
    wanted = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()) for key in keys]
    versions = (each.partition(",") for each in signatures.split(" "))
    # All are compared, each in constant time: how long it takes tells nothing.
    good = [
        hmac.compare_digest(signature.encode(), each)
        for name, _, signature in versions
        if name == "v1"
        for each in wanted
    ]
    if not any(good):
        raise WebhookVerificationError("No signature is good.")
    return _event(event_id, raw)


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError("A webhook secret is whsec_ and base64.")
    return key


def _check_time(timestamp: str, now_s: float, tolerance_s: float) -> None:
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= _MAX_DIGITS):
        raise WebhookVerificationError("The timestamp is no number of seconds.")
    if abs(now_s - int(timestamp)) > tolerance_s:
        raise WebhookVerificationError("The timestamp is too far from now: an old message, or a clock that is wrong.")


def _event(event_id: str, raw: bytes) -> Event:
    try:
        body: Any = json.loads(raw)
    except ValueError as error:
        raise WebhookVerificationError("The body is not JSON.") from error
    if not isinstance(body, dict):
        raise WebhookVerificationError("The body is not an event.")
    try:
        return read(Event, {**body, "id": event_id})
    except UnexpectedReplyError as error:
        raise WebhookVerificationError(str(error)) from error
