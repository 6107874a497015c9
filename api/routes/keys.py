"""Manage API keys; needs the scope `admin`. Tokens and secrets are shown once, in the reply that makes them."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from api.auth import Admin
from api.bodies import describe_body, read_body
from api.context import Context, InContext
from api.keys import IssuedKeyObject, KeyChange, KeyCreate, KeyList, KeyObject, KeyRotate, RotatedKeyObject, key_object
from api.openapi import problems
from api.paging import EndingBefore, Limit, StartingAfter, set_links
from api.problems import ProblemError
from db import keys as rows
from jobs import keys
from jobs.cursors import cursors
from jobs.errors import FieldError
from jobs.ids import KEY_PREFIX, parse_id
from jobs.keys import Scope
from jobs.quotas import OwnQuotas

router = APIRouter(prefix="/v1/keys", tags=["keys"])

KeyId = Annotated[str, Path(description="A key's id.", examples=["key_0199c0ffee007000800000000000cafe"])]
_REFUSALS = problems(400, 401, 403, 413, 415, 422, 503)


@router.post("", status_code=201, responses=_REFUSALS, openapi_extra=describe_body(KeyCreate), summary="Create a key")
async def create_key(request: Request, response: Response, context: InContext, _caller: Admin) -> IssuedKeyObject:
    """Issue a key. Its token and webhook secret are in this reply and nowhere else."""
    asked = await read_body(request, KeyCreate)
    if asked.expires_at is not None and asked.expires_at <= datetime.now(UTC):
        error = FieldError("/expires_at", "invalid_option", "expires_at: is not in the future.")
        raise ProblemError("invalid_option", error.detail, errors=(error,))
    if asked.expires_at is not None and asked.expires_at > datetime.max.replace(tzinfo=UTC):
        error = FieldError("/expires_at", "invalid_option", "expires_at: is after the year 9999 in UTC.")
        raise ProblemError("invalid_option", error.detail, errors=(error,))
    made = await run_in_threadpool(_create, context, asked)
    response.headers["Location"] = f"{context.base_url(request)}/v1/keys/{made.id}"
    return made


@router.get("", responses=problems(401, 403, 422, 503), summary="List keys")
def list_keys(
    request: Request,
    response: Response,
    context: InContext,
    _caller: Admin,
    limit: Limit = 20,
    starting_after: StartingAfter = None,
    ending_before: EndingBefore = None,
) -> KeyList:
    """Every key, newest first; those that ended too."""
    after, before = cursors(KEY_PREFIX, starting_after, ending_before)
    with context.sessions.begin() as session:
        found, has_more = rows.page(session, limit=limit, after=after, before=before)
    set_links(
        response,
        f"{context.base_url(request)}/v1/keys",
        [keys.public_id(key.id) for key in found],
        has_more=has_more,
        limit=limit,
        starting_after=starting_after,
        ending_before=ending_before,
    )
    return KeyList(data=[key_object(key) for key in found], has_more=has_more)


@router.get("/{key_id}", responses=problems(401, 403, 404, 503), summary="Read a key")
def read_key(context: InContext, _caller: Admin, key_id: KeyId) -> KeyObject:
    """A key, and when each of its secrets was last used."""
    with context.sessions.begin() as session:
        return key_object(keys.find(session, _parse(key_id)))


@router.patch(
    "/{key_id}",
    responses=problems(400, 401, 403, 404, 409, 413, 415, 422, 503),
    openapi_extra=describe_body(KeyChange),
    summary="Change a key",
)
async def change_key(request: Request, context: InContext, _caller: Admin, key_id: KeyId) -> KeyObject:
    """Change name or limits. Limits hold from the key's next request on."""
    asked = await read_body(request, KeyChange)
    changes = asked.model_dump(include=asked.model_fields_set)
    return await run_in_threadpool(_change, context, _parse(key_id), changes)


@router.post(
    "/{key_id}/rotate",
    responses=problems(400, 401, 403, 404, 409, 413, 415, 422, 503),
    openapi_extra=describe_body(KeyRotate, is_required=False),
    summary="Rotate a key",
)
async def rotate_key(request: Request, context: InContext, _caller: Admin, key_id: KeyId) -> RotatedKeyObject:
    """Give a key a new secret; jobs, scopes and limits stay. The secret before stays valid for `overlap_s`.

    At most two are valid at a time: one that an earlier rotation replaced ends now.
    """
    asked = await read_body(request, KeyRotate)
    return await run_in_threadpool(_rotate, context, _parse(key_id), timedelta(seconds=asked.overlap_s))


@router.post("/{key_id}/revoke", responses=problems(401, 403, 404, 409, 503), summary="Revoke a key")
def revoke_key(context: InContext, _caller: Admin, key_id: KeyId) -> KeyObject:
    """End a key with all its secrets, at once and for good."""
    with context.sessions.begin() as session:
        keys.revoke(session, _parse(key_id))
        return key_object(keys.find(session, _parse(key_id)))


def _create(context: Context, asked: KeyCreate) -> IssuedKeyObject:
    with context.sessions.begin() as session:
        issued = keys.create(
            session,
            asked.name,
            scopes={Scope(name) for name in asked.scopes},
            expires_at=asked.expires_at,
            quotas=OwnQuotas(asked.requests_per_minute, asked.megapixels_per_minute, asked.queue_depth),
        )
        shown = key_object(keys.find(session, issued.id))
    return IssuedKeyObject(**shown.model_dump(), token=issued.token, webhook_secret=issued.webhook_secret)


def _change(context: Context, key_id: UUID, changes: dict[str, Any]) -> KeyObject:
    with context.sessions.begin() as session:
        keys.change(session, key_id, changes)
        return key_object(keys.find(session, key_id))


def _rotate(context: Context, key_id: UUID, overlap: timedelta) -> RotatedKeyObject:
    with context.sessions.begin() as session:
        issued = keys.rotate(session, key_id, overlap=overlap)
        shown = key_object(keys.find(session, key_id))
    return RotatedKeyObject(**shown.model_dump(), token=issued.token)


def _parse(key_id: str) -> UUID:
    parsed = parse_id(key_id, KEY_PREFIX)
    if parsed is None:
        raise keys.KeyNotFoundError(key_id)
    return parsed
