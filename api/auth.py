"""Who calls: `Authorization: Bearer pk_live_...` or `X-Api-Key`."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api.context import InContext
from api.problems import ProblemError
from jobs import keys

_BEARER = HTTPBearer(auto_error=False, scheme_name="bearer", description="`Authorization: Bearer pk_live_...`")
_HEADER = APIKeyHeader(name="X-Api-Key", auto_error=False, scheme_name="api_key", description="The same key.")
_QUERY_NAMES = frozenset({"api_key", "apikey", "api-key", "x-api-key", "key", "token", "access_token"})
_MARK = "pk_live_"


def authenticate(
    request: Request,
    context: InContext,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    header: Annotated[str | None, Security(_HEADER)],
) -> UUID:
    """The id of the caller's key, in a transaction of its own. Without a live key: `unauthorized`.

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
    with context.sessions.begin() as session:
        key_id = keys.authenticate(session, token)
    if key_id is None:
        raise ProblemError("unauthorized", "The API key is unknown, expired or revoked.")
    request.state.api_key_id = str(key_id)  # for the access log
    return key_id


Caller = Annotated[UUID, Depends(authenticate)]
