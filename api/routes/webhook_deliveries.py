"""What became of webhooks: deliveries, their log, one more try."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Path, Query, Request, Response

from api.auth import Reader, Writer
from api.context import InContext
from api.openapi import problems
from api.paging import EndingBefore, Limit, StartingAfter, set_links
from api.problems import ProblemError
from api.webhooks import DeliveryDetail, DeliveryList, DeliveryObject, delivery_detail, delivery_object
from db.deliveries import Filters
from db.webhook_models import DeliveryStatus
from dispatch.names import Bell
from jobs import deliveries
from jobs.cursors import cursors
from jobs.errors import FieldError
from jobs.ids import BATCH_PREFIX, DELIVERY_PREFIX, ENDPOINT_PREFIX, EVENT_PREFIX, JOB_PREFIX, parse_id

router = APIRouter(prefix="/v1/webhook-deliveries", tags=["webhooks"])

DeliveryId = Annotated[str, Path(description="A delivery's id.", examples=["whd_0199c0ffee007000800000000000cafe"])]


@router.get("", responses=problems(401, 403, 422, 503), summary="List deliveries")
def list_deliveries(
    request: Request,
    response: Response,
    context: InContext,
    caller: Reader,
    limit: Limit = 20,
    starting_after: StartingAfter = None,
    ending_before: EndingBefore = None,
    status: Annotated[DeliveryStatus | None, Query(description="Only those that stand so.")] = None,
    endpoint_id: Annotated[str | None, Query(description="Only those to this endpoint.")] = None,
    event_id: Annotated[str | None, Query(description="Only those of this event: its `webhook-id`.")] = None,
    job_id: Annotated[str | None, Query(description="Only those of this job's events.")] = None,
    batch_id: Annotated[str | None, Query(description="Only those of this batch's events.")] = None,
) -> DeliveryList:
    """This key's deliveries, newest first, to endpoints and to the URLs that jobs and batches named."""
    after, before = cursors(DELIVERY_PREFIX, starting_after, ending_before)
    filters = Filters(
        status=status,
        endpoint_id=_id("endpoint_id", endpoint_id, ENDPOINT_PREFIX),
        event_id=_id("event_id", event_id, EVENT_PREFIX),
        job_id=_id("job_id", job_id, JOB_PREFIX),
        batch_id=_id("batch_id", batch_id, BATCH_PREFIX),
    )
    with context.sessions.begin() as session:
        found, has_more = deliveries.page(
            session, api_key_id=caller, filters=filters, limit=limit, after=after, before=before
        )
    set_links(
        response,
        f"{context.base_url(request)}/v1/webhook-deliveries",
        [DELIVERY_PREFIX + delivery.id.hex for delivery in found],
        has_more=has_more,
        limit=limit,
        starting_after=starting_after,
        ending_before=ending_before,
        kept={
            "status": status.value if status else None,
            "endpoint_id": endpoint_id,
            "event_id": event_id,
            "job_id": job_id,
            "batch_id": batch_id,
        },
    )
    return DeliveryList(data=[delivery_object(delivery) for delivery in found], has_more=has_more)


@router.get("/{delivery_id}", responses=problems(401, 403, 404, 503), summary="Read a delivery")
def read_delivery(context: InContext, caller: Reader, delivery_id: DeliveryId) -> DeliveryDetail:
    """A delivery with every try that was made."""
    with context.sessions.begin() as session:
        delivery = deliveries.find(session, delivery_id, api_key_id=caller)
        return delivery_detail(delivery, deliveries.log_of(session, delivery))


@router.post(
    "/{delivery_id}/replay",
    status_code=202,
    responses=problems(401, 403, 404, 409, 503),
    summary="Replay a delivery",
)
def replay_delivery(
    context: InContext, caller: Writer, delivery_id: DeliveryId, background: BackgroundTasks
) -> DeliveryObject:
    """Send it once more, now, whatever came of it. The `webhook-id` stays; the schedule of tries starts anew."""
    with context.sessions.begin() as session:
        shown = delivery_object(deliveries.replay(session, delivery_id, api_key_id=caller))
    background.add_task(context.doorbell.ring, Bell.IO)
    return shown


def _id(name: str, given: str | None, prefix: str) -> UUID | None:
    """The id that a filter names. `ProblemError` `invalid_request`."""
    if given is None:
        return None
    parsed = parse_id(given, prefix)
    if parsed is None:
        error = FieldError(f"/{name}", "invalid_request", f"{name}: is no id such as {prefix}….")
        raise ProblemError("invalid_request", error.detail, errors=(error,))
    return parsed
