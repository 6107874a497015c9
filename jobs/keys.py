"""API keys: `pk_live_<short>_<long>`, of which only the short part and a hash of the long one are kept.

The shape is Seam's prefixed API key. The long part has 256 random bits, so a plain SHA-256 is enough: there is
nothing to guess that a slow hash would protect.
"""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from db import keys as rows
from db.models import ApiKey
from jobs.ids import new_id

_TOKEN = re.compile(r"pk_live_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class IssuedKey:
    """A fresh key. Token and webhook secret are shown once and can't be read again."""

    id: UUID
    short: str
    token: str
    webhook_secret: str


def create(session: Session, name: str, *, expires_at: datetime | None = None) -> IssuedKey:
    """Issue a key."""
    short = secrets.token_hex(4)
    secret = secrets.token_urlsafe(32)
    webhook_secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    key = ApiKey(
        id=new_id(),
        name=name,
        short=short,
        secret_sha256=_digest(secret),
        webhook_secret=webhook_secret,
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    return IssuedKey(key.id, short, f"pk_live_{short}_{secret}", webhook_secret)


def authenticate(session: Session, token: str) -> UUID | None:
    """The id of the live key behind a token, or None. Takes the same time for every wrong secret."""
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        return None
    key = rows.by_short(session, parts[1])
    stored = key.secret_sha256 if key else _digest("")
    if not hmac.compare_digest(stored, _digest(parts[2])) or key is None:
        return None
    rows.note_use(session, key.id)
    return key.id


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
