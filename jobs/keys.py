"""API keys: `pk_live_<short>_<long>`, of which only the short part and a hash of the long one are kept.

The shape is Seam's prefixed API key. The long part has 256 random bits, so a plain SHA-256 is enough: there is
nothing to guess that a slow hash would protect. A rotated key stays the same caller, with the same jobs; for a while
its old secret is valid beside the new one.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy.orm import Session

from db import keys as rows
from db.key_models import ApiKey, ApiKeySecret
from jobs.errors import JobError
from jobs.ids import KEY_PREFIX, new_id, parse_id
from jobs.quotas import OwnQuotas
from jobs.webhooks import ROTATION_OVERLAP, new_secret

_TOKEN = re.compile(r"pk_live_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")
_MARK = "pk_live_"


class Scope(StrEnum):
    """What a key may do; none includes another."""

    JOBS_READ = "jobs:read"  # see jobs and batches, download files
    JOBS_WRITE = "jobs:write"  # submit, cancel and delete them
    ADMIN = "admin"  # manage keys


DEFAULT_SCOPES = frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE})
NO_OWN_QUOTAS = OwnQuotas()
OVERLAP = timedelta(hours=24)
MAX_OVERLAP = timedelta(days=30)


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    id: UUID
    scopes: frozenset[str]
    quotas: OwnQuotas = NO_OWN_QUOTAS
    files_retention: timedelta | None = None  # of its jobs' files; the service's where None


@dataclass(frozen=True)
class IssuedKey:
    """A fresh key. Token and webhook secret are shown once and can't be read again."""

    id: UUID
    short: str
    token: str
    webhook_secret: str


@dataclass(frozen=True)
class IssuedSecret:
    """A fresh secret of a key that was there before; the token is shown once."""

    short: str
    token: str


class KeyNotFoundError(JobError):
    """No such key."""

    def __init__(self, name: str) -> None:
        super().__init__("not_found", f"There is no key {name}.")


class KeyEndedError(JobError):
    """The key is revoked or expired; it stays so."""

    def __init__(self, name: str) -> None:
        super().__init__("key_ended", f"Key {name} is revoked or expired.")


def create(
    session: Session,
    name: str,
    *,
    scopes: Collection[Scope] = DEFAULT_SCOPES,
    expires_at: datetime | None = None,
    quotas: OwnQuotas = NO_OWN_QUOTAS,
) -> IssuedKey:
    """Issue a key."""
    key_id = new_id()
    issued, secret = _issue(key_id)
    webhook_secret = new_secret()
    key = ApiKey(
        id=key_id,
        name=name,
        scopes=sorted(scope.value for scope in scopes),
        webhook_secret=webhook_secret,
        expires_at=expires_at,
        secrets=[secret],
        **vars(quotas),
    )
    rows.add(session, key)
    return IssuedKey(key_id, issued.short, issued.token, webhook_secret)


def rotate(session: Session, key_id: UUID, *, overlap: timedelta = OVERLAP) -> IssuedSecret:
    """Give a live key a new secret; the one before it stays valid for `overlap`, any older one ends now.

    `KeyNotFoundError`, `KeyEndedError`.
    """
    if rows.lock_live(session, key_id) is None:
        raise _no_live(session, key_id)
    rows.end_secrets(session, key_id, overlap=overlap)
    issued, secret = _issue(key_id)
    rows.add_secret(session, secret)
    return issued


def rotate_webhook_secret(session: Session, key_id: UUID, *, overlap: timedelta = ROTATION_OVERLAP) -> str:
    """A new secret for the webhooks of a key's jobs; the one before it signs too for `overlap`. `KeyEndedError`."""
    if rows.lock_live(session, key_id) is None:
        raise _no_live(session, key_id)
    secret = new_secret()
    rows.replace_webhook_secret(session, key_id, secret, overlap=overlap)
    return secret


def set_retention(session: Session, key_id: UUID, files_retention: timedelta | None) -> None:
    """How long files of its further jobs stay; None is the service's own time. `KeyNotFoundError`, `KeyEndedError`."""
    if rows.lock_live(session, key_id) is None:
        raise _no_live(session, key_id)
    rows.set_retention(session, key_id, files_retention)


def revoke(session: Session, key_id: UUID) -> None:
    """End a key and all its secrets, at once. `KeyNotFoundError`, `KeyEndedError` where it is revoked already."""
    if not rows.revoke(session, key_id):
        raise _no_live(session, key_id)


def find(session: Session, key_id: UUID) -> ApiKey:
    """A key with its secrets. `KeyNotFoundError`."""
    key = rows.get(session, key_id)
    if key is None:
        raise KeyNotFoundError(public_id(key_id))
    return key


def authenticate(session: Session, token: str) -> Caller | None:
    """The caller behind a token, or None. Takes the same time for every wrong secret."""
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        return None
    found = rows.by_short(session, parts[1])
    stored = found.sha256 if found else _digest("")
    if not hmac.compare_digest(stored, _digest(parts[2])) or found is None:
        return None
    if found.is_stale:
        rows.note_use(session, parts[1])
    return Caller(found.key_id, frozenset(found.scopes), own_quotas(found), found.files_retention)


def own_quotas(key: ApiKey | rows.Secret) -> OwnQuotas:
    """The limits that a key has of its own."""
    return OwnQuotas(key.requests_per_minute, key.megapixels_per_minute, key.queue_depth)


def change(session: Session, key_id: UUID, changes: Mapping[str, int | str | None]) -> None:
    """Change a live key's `name`, or its limits by the names of `OwnQuotas`. `KeyNotFoundError`, `KeyEndedError`."""
    key = rows.lock_live(session, key_id)
    if key is None:
        raise _no_live(session, key_id)
    for name, value in changes.items():
        setattr(key, name, value)
    session.flush()


def acting(session: Session, name: str) -> Caller | None:
    """The live key that an operator names, for callers that send none; None where there is none."""
    try:
        key = rows.live(session, resolve(session, name))
    except KeyNotFoundError:
        return None
    return None if key is None else Caller(key.id, frozenset(key.scopes), own_quotas(key), key.files_retention)


def resolve(session: Session, name: str) -> UUID:
    """The key that a person names: by its id, by a whole token, or by a token's public part. `KeyNotFoundError`."""
    key_id = parse_id(name, KEY_PREFIX) or rows.id_by_short(session, name.removeprefix(_MARK).split("_")[0])
    if key_id is None:
        # Not the name itself: it may hold a secret.
        message = "like this"
        raise KeyNotFoundError(message)
    return key_id


def public_id(key_id: UUID) -> str:
    """`key_` and 32 hexadecimal digits."""
    return KEY_PREFIX + key_id.hex


def hint(short: str) -> str:
    """What may be shown of a token."""
    return f"{_MARK}{short}_…"


def _issue(key_id: UUID) -> tuple[IssuedSecret, ApiKeySecret]:
    short, long = secrets.token_hex(4), secrets.token_urlsafe(32)
    return (
        IssuedSecret(short, f"{_MARK}{short}_{long}"),
        ApiKeySecret(short=short, api_key_id=key_id, sha256=_digest(long)),
    )


def _no_live(session: Session, key_id: UUID) -> JobError:
    """Why there is no live key: `KeyEndedError` or `KeyNotFoundError`."""
    name = public_id(key_id)
    return KeyNotFoundError(name) if rows.get(session, key_id) is None else KeyEndedError(name)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
