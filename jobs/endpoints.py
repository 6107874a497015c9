"""Registered endpoints: created, changed, rotated, tested, pulled, deleted."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from db import deliveries as delivery_rows
from db import webhooks as rows
from db.webhook_models import DisabledReason, WebhookDelivery, WebhookEndpoint
from jobs import events
from jobs.deliveries import EndpointDisabledError, disable, secrets_of
from jobs.deliveries import find as find_delivery
from jobs.errors import JobError
from jobs.ids import DELIVERY_PREFIX, ENDPOINT_PREFIX, EVENT_PREFIX, new_id, parse_id
from jobs.webhooks import ROTATION_OVERLAP, new_secret, signed_headers

MAX_ENDPOINTS = 20
"""Each event is matched with every endpoint of its key."""
PULL_LEASE_S = 60.0
"""What a listener took and did not acknowledge is there again after this time."""

_LEFT_AFTER = timedelta(days=1)


class EndpointNotFoundError(JobError):
    """No such endpoint for this caller."""

    def __init__(self, public_id: str) -> None:
        super().__init__("not_found", f"There is no webhook endpoint {public_id}.")


@dataclass(frozen=True)
class Pulled:
    """An event in a listener's hands: what a POST would have carried."""

    delivery_id: UUID
    headers: dict[str, str]
    body: str


def create(
    session: Session, *, api_key_id: UUID, url: str | None, filters: list[str], description: str
) -> WebhookEndpoint:
    """Register an endpoint. `JobError` `too_many_endpoints`."""
    if rows.count(session, api_key_id) >= MAX_ENDPOINTS:
        raise JobError("too_many_endpoints", f"A key has at most {MAX_ENDPOINTS} webhook endpoints; delete one first.")
    endpoint = WebhookEndpoint(
        id=new_id(), api_key_id=api_key_id, url=url, events=filters, description=description, secret=new_secret()
    )
    rows.add(session, endpoint)
    return find(session, public_id(endpoint.id), api_key_id=api_key_id)


def find(session: Session, name: str, *, api_key_id: UUID, lock: bool = False) -> WebhookEndpoint:
    """A caller's endpoint, by its public id. `EndpointNotFoundError`."""
    endpoint_id = parse_id(name, ENDPOINT_PREFIX)
    endpoint = rows.get(session, endpoint_id, api_key_id=api_key_id, lock=lock) if endpoint_id else None
    if endpoint is None:
        raise EndpointNotFoundError(name)
    return endpoint


def page(
    session: Session, *, api_key_id: UUID, limit: int, after: UUID | None, before: UUID | None
) -> tuple[list[WebhookEndpoint], bool]:
    """Up to `limit` of a caller's endpoints, newest first, and whether there are more in that direction."""
    return rows.page(session, api_key_id=api_key_id, limit=limit, after=after, before=before)


def change(
    session: Session,
    name: str,
    *,
    api_key_id: UUID,
    url: str | None = None,
    filters: list[str] | None = None,
    description: str | None = None,
    is_enabled: bool | None = None,
) -> WebhookEndpoint:
    """Change what is not None. An endpoint that is enabled again starts with a clean record.

    `EndpointNotFoundError`; `JobError` `endpoint_is_pulled` for a URL where there is none.
    """
    endpoint = find(session, name, api_key_id=api_key_id, lock=True)
    if url is not None:
        if endpoint.url is None:
            raise JobError("endpoint_is_pulled", "An endpoint made without a URL stays so; create another one.")
        endpoint.url = url
    if filters is not None:
        endpoint.events = filters
    if description is not None:
        endpoint.description = description
    if is_enabled is False:
        disable(session, endpoint, DisabledReason.BY_OWNER)
    elif is_enabled and endpoint.disabled_at is not None:
        endpoint.disabled_at = endpoint.disabled_reason = endpoint.failing_since = None
        endpoint.pulled_at = session.scalars(func.now()).one() if endpoint.url is None else None
    session.flush()
    return endpoint


def delete(session: Session, name: str, *, api_key_id: UUID) -> None:
    """Forget an endpoint and its secrets; what is on its way to it ends. `EndpointNotFoundError`."""
    endpoint = find(session, name, api_key_id=api_key_id, lock=True)
    disable(session, endpoint, DisabledReason.BY_OWNER)
    endpoint.deleted_at = session.scalars(func.now()).one()
    endpoint.secret, endpoint.previous_secret = "", None
    session.flush()


def rotate_secret(
    session: Session, name: str, *, api_key_id: UUID, overlap: timedelta = ROTATION_OVERLAP
) -> WebhookEndpoint:
    """A new secret; the one before it signs too for `overlap`, an older one no more. `EndpointNotFoundError`."""
    endpoint = find(session, name, api_key_id=api_key_id, lock=True)
    endpoint.previous_secret, endpoint.secret = endpoint.secret, new_secret()
    endpoint.previous_secret_until = session.scalars(func.now()).one() + overlap
    session.flush()
    return endpoint


def ping(session: Session, name: str, *, api_key_id: UUID) -> WebhookDelivery:
    """Send a test event, tried once. `EndpointNotFoundError`, `EndpointDisabledError`."""
    endpoint = _enabled(session, name, api_key_id)
    delivery_id = events.record_ping(session, endpoint, public_id=name, at=session.scalars(func.now()).one())
    return find_delivery(session, DELIVERY_PREFIX + delivery_id.hex, api_key_id=api_key_id)


def replay_failed(session: Session, name: str, *, api_key_id: UUID, since: datetime) -> int:
    """Send once more what was made since then and has not arrived. Returns how many.

    `EndpointNotFoundError`, `EndpointDisabledError`.
    """
    return delivery_rows.replay_failed(session, _enabled(session, name, api_key_id).id, since)


def pull(session: Session, name: str, *, api_key_id: UUID, arrived: Collection[UUID], limit: int) -> list[Pulled]:
    """Acknowledge what has `arrived`, and take what waits, signed as a POST would be, oldest first.

    `EndpointNotFoundError`, `EndpointDisabledError`, `JobError` `endpoint_is_called` where the endpoint has a URL.
    """
    endpoint = _enabled(session, name, api_key_id)
    if endpoint.url is not None:
        raise JobError("endpoint_is_called", "The endpoint has a URL: events are sent there, not pulled.")
    now: datetime = session.scalars(func.now()).one()
    endpoint.pulled_at = now
    session.flush()
    delivery_rows.acknowledge(session, endpoint.id, arrived)
    taken = delivery_rows.pull(session, endpoint.id, limit=limit, lease_s=PULL_LEASE_S)
    return [_pulled(delivery, secrets_of(endpoint, now), now) for delivery in taken]


def disable_not_pulled(session: Session, *, limit: int) -> int:
    """Disable endpoints whose listener has not asked for a day. Returns how many."""
    left = rows.not_pulled(session, since=_LEFT_AFTER, limit=limit)
    for endpoint in left:
        disable(session, endpoint, DisabledReason.NOT_PULLED)
    return len(left)


def public_id(endpoint_id: UUID) -> str:
    """`whe_` and 32 hexadecimal digits."""
    return ENDPOINT_PREFIX + endpoint_id.hex


def _enabled(session: Session, name: str, api_key_id: UUID) -> WebhookEndpoint:
    endpoint = find(session, name, api_key_id=api_key_id, lock=True)
    if endpoint.disabled_at is not None:
        raise EndpointDisabledError(endpoint.disabled_reason)
    return endpoint


def _pulled(delivery: WebhookDelivery, signing: Sequence[str], now: datetime) -> Pulled:
    body = delivery.event.body
    headers = signed_headers(signing, event_id=EVENT_PREFIX + delivery.event_id.hex, now=now, body=body.encode())
    return Pulled(delivery.id, headers, body)
