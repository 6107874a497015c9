"""The process of `tests.google_server.google_server`: Google's XML interface, as far as it is that of S3.

Requests carry what Google asks for and S3 does not know: a token signed by the service account (RFC 7519, RS256), or
the account's signature in the URL (Google Cloud Storage, "V4 signing process"). Both are verified here, by other code
than that which makes them; what was asked for is done by nanio, an S3 server, which sees no credentials.
"""

import base64
import hashlib
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, quote

import uvicorn
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from nanio.app import build_app
from nanio.config import Settings
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.google_server import ACCOUNT, PUBLIC_KEY
from tests.s3_main import LISTED_AT_ONCE

SCOPES = {f"https://www.googleapis.com/auth/{name}" for name in ("cloud-platform", "devstorage.full_control")}


class AsGoogle:
    """Lets through what the account signed; 401 without credentials, 403 for wrong ones."""

    def __init__(self, app: ASGIApp, key: RSAPublicKey) -> None:
        self._app = app
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self._problem(Request(scope))):
            status, code = problem
            answer = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"
            await Response(answer, status, media_type="application/xml")(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _problem(self, request: Request) -> tuple[int, str] | None:
        try:
            if "X-Goog-Signature" in request.query_params:
                return None if self._is_signed(request) else (400, "ExpiredToken")
            kind, _, token = request.headers.get("authorization", "").partition(" ")
            if kind != "Bearer":
                return 401, "AuthenticationRequired"
            return None if self._is_token(token) else (401, "InvalidToken")
        except InvalidSignature:
            return 403, "SignatureDoesNotMatch"

    def _is_token(self, token: str) -> bool:
        signed, _, signature = token.rpartition(".")
        self._key.verify(_unpacked(signature), signed.encode(), PKCS1v15(), SHA256())
        head, claims = (json.loads(_unpacked(part)) for part in signed.split("."))
        is_now = claims["iat"] <= time.time() + 60 and time.time() < claims["exp"] <= claims["iat"] + 3600
        return bool(head["alg"] == "RS256" and claims["iss"] == ACCOUNT and claims["scope"] in SCOPES and is_now)

    def _is_signed(self, request: Request) -> bool:
        query = dict(parse_qsl(request.url.query))
        signature = bytes.fromhex(query.pop("X-Goog-Signature"))
        account, _, scope = query["X-Goog-Credential"].partition("/")
        pairs = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items()))
        path = request.scope["raw_path"].decode()
        host = request.headers["host"]
        asked = f"{request.method}\n{path}\n{pairs}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
        lines = (query["X-Goog-Algorithm"], query["X-Goog-Date"], scope, hashlib.sha256(asked.encode()).hexdigest())
        self._key.verify(signature, "\n".join(lines).encode(), PKCS1v15(), SHA256())
        since = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        age_s = (datetime.now(UTC) - since).total_seconds()
        return account == ACCOUNT and -60 < age_s < int(query["X-Goog-Expires"])


def _unpacked(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


if __name__ == "__main__":
    folder, host, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    settings = Settings(data_dir=folder, port=port, max_list_keys=LISTED_AT_ONCE, auth_disabled=True)
    public_key = load_pem_public_key(os.environ[PUBLIC_KEY].encode())
    assert isinstance(public_key, RSAPublicKey)
    uvicorn.run(AsGoogle(build_app(settings), public_key), host=host, port=port, log_level="error", access_log=False)
