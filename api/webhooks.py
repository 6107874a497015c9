"""Bodies and replies of webhook endpoints and deliveries, and rows to those replies."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.schemas import Time
from db.webhook_models import DeliveryStatus, DisabledReason, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from jobs import endpoints
from jobs.event_types import ENDS
from jobs.fields import Text
from jobs.ids import BATCH_PREFIX, DELIVERY_PREFIX, EVENT_PREFIX, job_public_id
from jobs.webhooks import ROTATION_OVERLAP

_ENDPOINT = "whe_0199c0ffee007000800000000000cafe"
_DELIVERY = "whd_0199c0ffee007000800000000000cafe"
_MAX_PULLED = 100

EventFilter = Literal[
    "*",
    "job.*",
    "batch.*",
    "job.queued",
    "job.processing",
    "job.succeeded",
    "job.failed",
    "job.canceled",
    "job.expired",
    "batch.completed",
    "batch.failed",
    "batch.canceled",
    "batch.expired",
]
Filters = Annotated[
    list[EventFilter],
    Field(
        min_length=1,
        max_length=20,
        description="Events to be told of, by name or pattern. `job.queued` and `job.processing` are told only to who "
        "asks for them, by name, `job.*` or `*`.",
        examples=[["job.succeeded", "job.failed", "batch.*"]],
    ),
]
Description = Annotated[Text, Field(max_length=200, examples=["catalog import"])]
_URL = "Public http or https URL that is called for each event"


class EndpointCreate(BaseModel):
    """An endpoint to register."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: Text | None = Field(
        description=f"{_URL}; null for an endpoint whose events are pulled.",
        examples=["https://shop.example/hooks/packshot"],
    )
    events: Filters = Field(default_factory=lambda: cast("list[EventFilter]", list(ENDS)))
    description: Description = Field(default="", description="For people, up to 200 characters.")


class EndpointChange(BaseModel):
    """What to change; what is not given stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: Text | None = Field(default=None, description=f"{_URL}.")
    events: Filters | None = None
    description: Description | None = None
    is_enabled: bool | None = Field(
        default=None, description="False: tell it of nothing, end what is on its way. True: begin again."
    )


class SecretRotate(BaseModel):
    """How to rotate."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap_s: int = Field(
        default=int(ROTATION_OVERLAP.total_seconds()),
        ge=0,
        le=int(timedelta(days=30).total_seconds()),
        description="Seconds that the secret before signs beside the new one; 24 hours by default, 30 days at most.",
    )


class ReplayFailed(BaseModel):
    """From when on."""

    model_config = ConfigDict(extra="forbid", strict=True)

    since: AwareDatetime = Field(strict=False, description="Deliveries made since then (RFC 3339 with a zone).")


class Pull(BaseModel):
    """What has arrived of the last pull, and how much to take now."""

    model_config = ConfigDict(extra="forbid", strict=True)

    arrived: list[Annotated[str, Field(pattern="^whd_[0-9a-f]{32}$")]] = Field(
        default_factory=list, max_length=_MAX_PULLED, description="Deliveries to acknowledge, by id."
    )
    limit: int = Field(default=20, ge=1, le=_MAX_PULLED, description="Most events to take.")


class EndpointObject(BaseModel):
    """A registered endpoint. The secret is shown when it is made and never again."""

    id: str = Field(examples=[_ENDPOINT])
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    url: str | None
    events: list[str]
    description: str
    status: Literal["enabled", "disabled"]
    disabled_reason: DisabledReason | None
    disabled_at: Time | None
    created_at: Time
    failing_since: Time | None = Field(description="First failed call since the last good one.")
    delivered_at: Time | None = Field(description="Last good call, to the minute.")
    previous_secret_until: Time | None = Field(description="Until when the secret before the last rotation signs too.")


class IssuedEndpointObject(EndpointObject):
    """An endpoint with a new secret. Keep `secret`: it can't be shown again."""

    secret: str = Field(examples=["whsec_…"])


class EndpointList(BaseModel):
    """A page of endpoints, newest first."""

    object: Literal["list"] = "list"
    data: list[EndpointObject]
    has_more: bool = Field(description="Whether there are more in the direction asked for.")


class AttemptObject(BaseModel):
    """One POST."""

    number: int
    at: Time
    http_status: int | None = Field(description="Null where there was no answer.")
    error: str | None
    took_ms: int


class DeliveryObject(BaseModel):
    """One event on its way to one endpoint, or to the URL that the job or batch named."""

    id: str = Field(examples=[_DELIVERY])
    object: Literal["webhook_delivery"] = "webhook_delivery"
    event_id: str = Field(description="The `webhook-id` of every call, replays too.")
    event_type: str = Field(examples=["job.succeeded"])
    sequence: int = Field(description="Rises from event to event; deliveries come in any order.")
    job_id: str | None
    batch_id: str | None
    endpoint_id: str | None = Field(description="Null for the URL that the job or batch named.")
    url: str | None = Field(description="Null where the events are pulled.")
    status: DeliveryStatus
    attempt: int = Field(description="Tries so far.")
    due_at: Time | None = Field(description="Next try; null once it has ended.")
    created_at: Time
    completed_at: Time | None


class DeliveryDetail(DeliveryObject):
    """A delivery with its log."""

    attempts: list[AttemptObject]


class DeliveryList(BaseModel):
    """A page of deliveries, newest first."""

    object: Literal["list"] = "list"
    data: list[DeliveryObject]
    has_more: bool = Field(description="Whether there are more in the direction asked for.")


class Replayed(BaseModel):
    """How many deliveries are due again."""

    replayed: int


class PulledEvent(BaseModel):
    """An event as a POST would have carried it; the signature is over `body` as it stands."""

    delivery_id: str = Field(examples=[_DELIVERY])
    headers: dict[str, str]
    body: str


class PulledEvents(BaseModel):
    """What was waiting, oldest first. Acknowledge within a minute, or it comes again."""

    object: Literal["list"] = "list"
    data: list[PulledEvent]


class WebhookSecret(BaseModel):
    """A new secret of a key's webhooks. Keep it: it can't be shown again."""

    object: Literal["webhook_secret"] = "webhook_secret"
    secret: str = Field(examples=["whsec_…"])


def endpoint_object(endpoint: WebhookEndpoint) -> EndpointObject:
    """An endpoint without its secret."""
    return EndpointObject(
        id=endpoints.public_id(endpoint.id),
        url=endpoint.url,
        events=endpoint.events,
        description=endpoint.description,
        status="enabled" if endpoint.disabled_at is None else "disabled",
        disabled_reason=endpoint.disabled_reason,
        disabled_at=endpoint.disabled_at,
        created_at=endpoint.created_at,
        failing_since=endpoint.failing_since,
        delivered_at=endpoint.delivered_at,
        previous_secret_until=endpoint.previous_secret_until,
    )


def issued_endpoint_object(endpoint: WebhookEndpoint) -> IssuedEndpointObject:
    """An endpoint with the secret that it was just given."""
    return IssuedEndpointObject(**endpoint_object(endpoint).model_dump(), secret=endpoint.secret)


def delivery_object(delivery: WebhookDelivery) -> DeliveryObject:
    """A delivery with event and endpoint loaded."""
    event, endpoint = delivery.event, delivery.endpoint
    return DeliveryObject(
        id=DELIVERY_PREFIX + delivery.id.hex,
        event_id=EVENT_PREFIX + event.id.hex,
        event_type=event.type,
        sequence=event.sequence,
        job_id=job_public_id(event.job_id) if event.job_id else None,
        batch_id=BATCH_PREFIX + event.batch_id.hex if event.batch_id else None,
        endpoint_id=endpoints.public_id(endpoint.id) if endpoint else None,
        url=delivery.url or (endpoint.url if endpoint else None),
        status=delivery.status,
        attempt=delivery.attempt,
        due_at=delivery.due_at if delivery.completed_at is None else None,
        created_at=delivery.created_at,
        completed_at=delivery.completed_at,
    )


def delivery_detail(delivery: WebhookDelivery, log: Sequence[WebhookAttempt]) -> DeliveryDetail:
    """A delivery and its tries. What a receiver answered stays with whoever runs the service: it may be internal."""
    tries = [
        AttemptObject(number=one.number, at=one.at, http_status=one.http_status, error=one.error, took_ms=one.took_ms)
        for one in log
    ]
    return DeliveryDetail(**delivery_object(delivery).model_dump(), attempts=tries)
