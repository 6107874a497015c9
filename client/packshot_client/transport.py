"""Between our requests and httpx's; the same for the sync and the async client."""

import json
import os
import time
from contextlib import ExitStack
from typing import Any

import httpx

from packshot_client.steps import Broken, Reply, Request
from packshot_client.version import VERSION

_PERMANENT = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


def http_options(url: str | None, key: str | None, timeout_s: float) -> dict[str, Any]:
    """What an httpx client is made of. `ValueError` for what is no URL, or no key."""
    url = url or os.environ.get("PACKSHOT_URL", "")
    key = key or os.environ.get("PACKSHOT_KEY", "")
    parsed = httpx.URL(url)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"The URL of Packshot is http://... or https://..., not {url!r}.")
    if not key.isascii() or not key.isprintable() or not key.strip():
        raise ValueError("The API key is not one: it is empty, or has characters that no key has.")
    return {
        "base_url": url.rstrip("/"),
        "headers": {"Authorization": f"Bearer {key.strip()}", "User-Agent": f"packshot-client/{VERSION}"},
        "timeout": timeout_s,
        "limits": httpx.Limits(max_connections=100),
    }


def outgoing(http: httpx.Client | httpx.AsyncClient, request: Request, files: ExitStack) -> httpx.Request:
    """The request as httpx sends it; its file is open until `files` closes."""
    headers = dict(request.headers)
    parts = None
    content = None
    if request.file is not None:
        stream = files.enter_context(request.file.open())
        parts = {request.file.field: (request.file.filename, stream)}
    if request.json is not None:
        headers["Content-Type"] = "application/json"
        content = json.dumps(request.json).encode()
    timeout = http.timeout
    if request.wait_s and timeout.read is not None:
        read_s = timeout.read + request.wait_s
        timeout = httpx.Timeout(connect=timeout.connect, read=read_s, write=timeout.write, pool=timeout.pool)
    return http.build_request(
        request.method,
        request.path,
        params=dict(request.params) or None,
        headers=headers,
        data=dict(request.form) if request.form else None,
        files=parts,
        content=content,
        timeout=timeout,
    )


def reply_of(response: httpx.Response, body: bytes, began: float) -> Reply:
    """A response that was read. Where the service sent a download on to its store, the ETag is the service's own."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    if response.history:
        headers["etag"] = response.history[0].headers.get("etag", "")
    return Reply(response.status_code, headers, body, time.monotonic() - began)


def broken_of(error: httpx.RequestError) -> Broken:
    """What came in place of a response."""
    return Broken(str(error) or type(error).__name__, is_permanent=isinstance(error, _PERMANENT))
