"""Who calls: `Authorization: Bearer pk_live_...` or `X-Api-Key`, and what that key may do.

A route names the scope it needs by the type of its caller: `Reader`, `Writer` or `Admin`; `Caller` is any live key.
Each is the id of the key, in the database's sense; other keys' rows are not there for it.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api.context import InContext
from api.problems import ProblemError
from jobs import keys
from jobs.keys import Scope

_BEARER = HTTPBearer(auto_error=False, scheme_name="bearer", description="`Authorization: Bearer pk_live_...`")
_HEADER = APIKeyHeader(name="X-Api-Key", auto_error=False, scheme_name="api_key", description="The same key.")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]
KeyHeader = Annotated[str | None, Security(_HEADER)]
_QUERY_NAMES = frozenset({"api_key", "apikey", "api-key", "x-api-key", "key", "token", "access_token"})
_MARK = "pk_live_"


def authenticate(
    request: Request,
    context: InContext,
    bearer: Bearer,
    header: KeyHeader,
) -> keys.Caller:
    """The caller, by one look at the database. Without a live key: `unauthorized`; else `rate_limited`.

    A key in the query string is refused even beside a good header: query strings end in logs and histories.
    """
    if any(name.lower() in _QUERY_NAMES or _MARK in value for name, value in request.query_params.multi_items()):
        raise ProblemError(
            "key_in_query",
            "Send the key in the Authorization header. If it is a live one, revoke it: query strings are logged.",
        )
    token = bearer.credentials if bearer else header
    if not token:
        raise ProblemError("unauthorized", "Send an API key as Authorization: Bearer pk_live_... or as X-Api-Key.")
    with context.autocommit() as session:
        caller = keys.authenticate(session, token)
    if caller is None:
        raise ProblemError("unauthorized", "The API key is unknown, expired or revoked.")
    request.state.api_key_id = str(caller.id)  # for the access log
    context.limiter.count_request(request, caller)
    return caller


Authenticated = Annotated[keys.Caller, Depends(authenticate)]


def _with(scope: Scope | None) -> Callable[[keys.Caller], Awaitable[UUID]]:
    """A dependency: the id of a caller that has this scope, else `missing_scope`."""

    async def caller_id(caller: Authenticated) -> UUID:
        return require(caller, scope)

    return caller_id


def require(caller: keys.Caller, scope: Scope | None) -> UUID:
    """The id of a caller that has this scope. `ProblemError` `missing_scope`."""
    if scope is not None and scope not in caller.scopes:
        detail = f"This needs a key with the scope {scope.value}."
        raise ProblemError("missing_scope", detail, extra={"required_scope": scope.value})
    return caller.id


Caller = Annotated[UUID, Depends(_with(None))]
Reader = Annotated[UUID, Depends(_with(Scope.JOBS_READ))]
Writer = Annotated[UUID, Depends(_with(Scope.JOBS_WRITE))]
Admin = Annotated[UUID, Depends(_with(Scope.ADMIN))]
