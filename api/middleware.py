"""Around every request: its id, headers that browsers heed, one access log line, the request metrics."""

import re
import secrets
import time
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.limits import rate_limit_headers
from api.metrics import Metrics
from config.tracing import CURRENT, Kind, Silent, Span, Tracing, parse_context, trace_id_of

log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_OFF = Silent()

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def request_id_of(scope: MutableMapping[str, Any]) -> str:
    """The request's id; a request that never passed the middleware gets a fresh one."""
    state = scope.setdefault("state", {})
    if "request_id" not in state:
        given = Headers(scope=scope).get("x-request-id", "")
        state["request_id"] = given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
    return str(state["request_id"])


def _begin(tracing: Tracing, scope: MutableMapping[str, Any], request_id: str) -> Span:
    """The request as a span of the caller's trace, where the caller names one; `_account` ends it."""
    headers = Headers(scope=scope)
    parent = parse_context(headers.getlist("traceparent"), headers.getlist("tracestate"))
    if scope["path"] in _QUIET:
        return _OFF.start("probe", parent=parent)
    return tracing.start(
        scope["method"],
        parent=parent,
        kind=Kind.SERVER,
        attributes={"http.request.method": scope["method"], "packshot.request_id": request_id},
    )


def route_template(scope: MutableMapping[str, Any]) -> str:
    """The route's path with its placeholders, so that metrics and logs name routes and not jobs."""
    return str(getattr(scope.get("route"), "path", None) or "unmatched")


class RequestMiddleware:
    """Plain ASGI, so that bodies stream through it in both directions."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        span = _begin(self._tracing, scope, request_id)
        CURRENT.set(span.traceparent)
        if span.traceparent is not None:
            structlog.contextvars.bind_contextvars(trace_id=trace_id_of(span.traceparent))
        begun = time.perf_counter()
        status = 500  # unless a response begins
        took_s: float | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status, took_s
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request_id
                for name, value in rate_limit_headers(scope["state"]).items():
                    headers[name] = value
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                took_s = time.perf_counter() - begun  # what runs after the reply keeps nobody waiting

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            self._account(scope, span, status, time.perf_counter() - begun if took_s is None else took_s)

    def _account(self, scope: Scope, span: Span, status: int, took_s: float) -> None:
        route = route_template(scope)
        span.note({"http.route": route, "http.response.status_code": status})
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            span.fail(str(status))
        span.end(name=f"{scope['method']} {route}")
        self._metrics.observe(scope["method"], route, status, took_s)
        if route not in _QUIET:
            # The path, never the query string: a caller may have put a secret there.
            log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                route=route,
                status=status,
                took_ms=round(took_s * 1000),
                api_key_id=scope["state"].get("api_key_id"),
            )
