"""Register endpoints for events; test, rotate and pull them."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from api.auth import Reader, Writer
from api.bodies import describe_body, read_body
from api.context import Context, InContext
from api.openapi import problems
from api.paging import EndingBefore, Limit, StartingAfter, set_links
from api.problems import ProblemError
from api.webhooks import (
    DeliveryObject,
    EndpointChange,
    EndpointCreate,
    EndpointList,
    EndpointObject,
    IssuedEndpointObject,
    Pull,
    PulledEvent,
    PulledEvents,
    Replayed,
    ReplayFailed,
    SecretRotate,
    WebhookSecret,
    delivery_object,
    endpoint_object,
    issued_endpoint_object,
)
from dispatch.names import Bell
from jobs import endpoints, keys
from jobs.cursors import cursors
from jobs.egress import EgressRefusedError, check_url
from jobs.errors import FieldError
from jobs.ids import DELIVERY_PREFIX, ENDPOINT_PREFIX, parse_id

router = APIRouter(tags=["webhooks"])

_PATH = "/v1/webhook-endpoints"
EndpointId = Annotated[str, Path(description="An endpoint's id.", examples=["whe_0199c0ffee007000800000000000cafe"])]
_BODY_REFUSALS = problems(400, 401, 403, 404, 409, 413, 415, 422, 503)


@router.post(
    _PATH,
    status_code=201,
    responses=problems(400, 401, 403, 409, 413, 415, 422, 503),
    openapi_extra=describe_body(EndpointCreate),
    summary="Register an endpoint",
)
async def create_endpoint(
    request: Request, response: Response, context: InContext, caller: Writer
) -> IssuedEndpointObject:
    """Have events of this key's jobs and batches told to a URL. The secret is in this reply and nowhere else.

    With `url` null nobody is called: a listener takes the events from `/pull`, signed all the same.
    """
    asked = await read_body(request, EndpointCreate)
    url = _checked(context, asked.url)
    made = await run_in_threadpool(_create, context, caller, asked, url)
    response.headers["Location"] = f"{context.base_url(request)}{_PATH}/{made.id}"
    return made


@router.get(_PATH, responses=problems(401, 403, 422, 503), summary="List endpoints")
def list_endpoints(
    request: Request,
    response: Response,
    context: InContext,
    caller: Reader,
    limit: Limit = 20,
    starting_after: StartingAfter = None,
    ending_before: EndingBefore = None,
) -> EndpointList:
    """This key's endpoints, newest first."""
    after, before = cursors(ENDPOINT_PREFIX, starting_after, ending_before)
    with context.sessions.begin() as session:
        found, has_more = endpoints.page(session, api_key_id=caller, limit=limit, after=after, before=before)
    set_links(
        response,
        f"{context.base_url(request)}{_PATH}",
        [endpoints.public_id(endpoint.id) for endpoint in found],
        has_more=has_more,
        limit=limit,
        starting_after=starting_after,
        ending_before=ending_before,
    )
    return EndpointList(data=[endpoint_object(endpoint) for endpoint in found], has_more=has_more)


@router.get(f"{_PATH}/{{endpoint_id}}", responses=problems(401, 403, 404, 503), summary="Read an endpoint")
def read_endpoint(context: InContext, caller: Reader, endpoint_id: EndpointId) -> EndpointObject:
    """An endpoint, and whether it is failing or disabled."""
    with context.sessions.begin() as session:
        return endpoint_object(endpoints.find(session, endpoint_id, api_key_id=caller))


@router.patch(
    f"{_PATH}/{{endpoint_id}}",
    responses=_BODY_REFUSALS,
    openapi_extra=describe_body(EndpointChange),
    summary="Change an endpoint",
)
async def change_endpoint(
    request: Request, context: InContext, caller: Writer, endpoint_id: EndpointId
) -> EndpointObject:
    """Change URL, events or description; disable it, or enable it again.

    What is still on its way goes to the new URL. Disabling ends it; `/replay-failed` brings it back later.
    """
    asked = await read_body(request, EndpointChange)
    url = _checked(context, asked.url)
    return await run_in_threadpool(_change, context, caller, endpoint_id, asked, url)


@router.delete(
    f"{_PATH}/{{endpoint_id}}", status_code=204, responses=problems(401, 403, 404, 503), summary="Delete an endpoint"
)
def delete_endpoint(context: InContext, caller: Writer, endpoint_id: EndpointId) -> None:
    """Tell it of nothing more and forget its secret. The log of its deliveries stays for a while."""
    with context.sessions.begin() as session:
        endpoints.delete(session, endpoint_id, api_key_id=caller)


@router.post(
    f"{_PATH}/{{endpoint_id}}/rotate-secret",
    responses=problems(400, 401, 403, 404, 413, 415, 422, 503),
    openapi_extra=describe_body(SecretRotate, is_required=False),
    summary="Rotate an endpoint's secret",
)
async def rotate_endpoint_secret(
    request: Request, context: InContext, caller: Writer, endpoint_id: EndpointId
) -> IssuedEndpointObject:
    """A new secret. Calls are signed by both for `overlap_s`, so that a receiver can change over in between."""
    overlap = timedelta(seconds=(await read_body(request, SecretRotate)).overlap_s)
    return await run_in_threadpool(_rotate, context, caller, endpoint_id, overlap)


@router.post(
    f"{_PATH}/{{endpoint_id}}/ping",
    status_code=202,
    responses=problems(401, 403, 404, 409, 503),
    summary="Test an endpoint",
)
def ping_endpoint(
    context: InContext, caller: Writer, endpoint_id: EndpointId, background: BackgroundTasks
) -> DeliveryObject:
    """Send an event `endpoint.ping`, whatever the filter. It is tried once; the delivery's log says what came back."""
    with context.sessions.begin() as session:
        shown = delivery_object(endpoints.ping(session, endpoint_id, api_key_id=caller))
    background.add_task(context.doorbell.ring, Bell.IO)
    return shown


@router.post(
    f"{_PATH}/{{endpoint_id}}/replay-failed",
    status_code=202,
    responses=_BODY_REFUSALS,
    openapi_extra=describe_body(ReplayFailed),
    summary="Replay what failed",
)
async def replay_failed(
    request: Request, context: InContext, caller: Writer, endpoint_id: EndpointId, background: BackgroundTasks
) -> Replayed:
    """Send once more what was made since then and did not arrive, under the same ids. Its schedule starts anew."""
    asked = await read_body(request, ReplayFailed)
    count = await run_in_threadpool(_replay_failed, context, caller, endpoint_id, asked)
    background.add_task(context.doorbell.ring, Bell.IO)
    return Replayed(replayed=count)


@router.post(
    f"{_PATH}/{{endpoint_id}}/pull",
    responses=_BODY_REFUSALS,
    openapi_extra=describe_body(Pull, is_required=False),
    summary="Pull events",
)
async def pull_events(request: Request, context: InContext, caller: Writer, endpoint_id: EndpointId) -> PulledEvents:
    """Take events of an endpoint without a URL, oldest first, and acknowledge those of the last pull.

    What is not acknowledged within a minute comes again. An endpoint that nobody pulls for a day is disabled.
    """
    asked = await read_body(request, Pull)
    return await run_in_threadpool(_pull, context, caller, endpoint_id, asked)


@router.post(
    "/v1/webhook-secret/rotate",
    responses=problems(400, 401, 403, 409, 413, 415, 422, 503),
    openapi_extra=describe_body(SecretRotate, is_required=False),
    summary="Rotate the key's webhook secret",
)
async def rotate_key_webhook_secret(request: Request, context: InContext, caller: Writer) -> WebhookSecret:
    """A new secret for calls to the `webhook_url` of this key's jobs and batches; both sign for `overlap_s`."""
    overlap = timedelta(seconds=(await read_body(request, SecretRotate)).overlap_s)
    return await run_in_threadpool(_rotate_of_key, context, caller, overlap)


def _checked(context: Context, url: str | None) -> str | None:
    """The URL in its one spelling. `ProblemError` `invalid_webhook_url`."""
    if url is None:
        return None
    try:
        return check_url(url, context.egress).url
    except EgressRefusedError as error:
        field = FieldError("/url", "invalid_webhook_url", str(error))
        raise ProblemError("invalid_webhook_url", str(error), errors=(field,)) from error


def _create(context: Context, caller: UUID, asked: EndpointCreate, url: str | None) -> IssuedEndpointObject:
    with context.sessions.begin() as session:
        endpoint = endpoints.create(
            session, api_key_id=caller, url=url, filters=list(asked.events), description=asked.description
        )
        return issued_endpoint_object(endpoint)


def _change(context: Context, caller: UUID, name: str, asked: EndpointChange, url: str | None) -> EndpointObject:
    with context.sessions.begin() as session:
        endpoint = endpoints.change(
            session,
            name,
            api_key_id=caller,
            url=url,
            filters=None if asked.events is None else list(asked.events),
            description=asked.description,
            is_enabled=asked.is_enabled,
        )
        return endpoint_object(endpoint)


def _rotate(context: Context, caller: UUID, name: str, overlap: timedelta) -> IssuedEndpointObject:
    with context.sessions.begin() as session:
        return issued_endpoint_object(endpoints.rotate_secret(session, name, api_key_id=caller, overlap=overlap))


def _rotate_of_key(context: Context, caller: UUID, overlap: timedelta) -> WebhookSecret:
    with context.sessions.begin() as session:
        return WebhookSecret(secret=keys.rotate_webhook_secret(session, caller, overlap=overlap))


def _replay_failed(context: Context, caller: UUID, name: str, asked: ReplayFailed) -> int:
    with context.sessions.begin() as session:
        return endpoints.replay_failed(session, name, api_key_id=caller, since=asked.since)


def _pull(context: Context, caller: UUID, name: str, asked: Pull) -> PulledEvents:
    arrived = [found for found in (parse_id(one, DELIVERY_PREFIX) for one in asked.arrived) if found]
    with context.sessions.begin() as session:
        pulled = endpoints.pull(session, name, api_key_id=caller, arrived=arrived, limit=asked.limit)
    return PulledEvents(
        data=[
            PulledEvent(delivery_id=DELIVERY_PREFIX + one.delivery_id.hex, headers=one.headers, body=one.body)
            for one in pulled
        ]
    )
