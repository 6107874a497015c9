"""Bodies and replies of `/v1/keys`, and rows to those replies."""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from api.schemas import Time
from db.key_models import ApiKey, ApiKeySecret
from jobs import keys
from jobs.fields import Text
from jobs.keys import DEFAULT_SCOPES, MAX_OVERLAP, OVERLAP

_KEY = "key_0199c0ffee007000800000000000cafe"
ScopeName = Literal["jobs:read", "jobs:write", "admin"]


Name = Annotated[Text, Field(min_length=1, max_length=100, description="Who uses it, up to 100 characters.")]
Limit = Annotated[int | None, Field(ge=0, le=2**31 - 1, description="Null takes the service's limit, 0 sets none.")]


class KeyCreate(BaseModel):
    """A key to issue."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name = Field(examples=["shop"])
    scopes: list[ScopeName] = Field(
        default_factory=lambda: sorted(scope.value for scope in DEFAULT_SCOPES),
        min_length=1,
        description="What it may do; `jobs:read` and `jobs:write` by default. None includes another.",
    )
    expires_at: AwareDatetime | None = Field(
        default=None, strict=False, description="When it ends (RFC 3339 with a zone); never by default."
    )
    requests_per_minute: Limit = None
    megapixels_per_minute: Limit = None
    queue_depth: Limit = None


class KeyChange(BaseModel):
    """What of a key to change; what is not named stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name | None = None
    requests_per_minute: Limit = None
    megapixels_per_minute: Limit = None
    queue_depth: Limit = None

    @model_validator(mode="after")
    def _keep_the_name(self) -> Self:
        if "name" in self.model_fields_set and self.name is None:
            message = "name can't be null"
            raise ValueError(message)
        return self


class KeyRotate(BaseModel):
    """How to rotate."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap_s: int = Field(
        default=int(OVERLAP.total_seconds()),
        ge=0,
        le=int(MAX_OVERLAP.total_seconds()),
        description="Seconds that the secret before stays valid; 24 hours by default, 30 days at most.",
    )


class SecretObject(BaseModel):
    """One secret of a key, never the secret itself."""

    hint: str = Field(examples=["pk_live_5f0c2a91_…"], description="The part of the token that may be shown.")
    created_at: Time
    expires_at: Time | None = Field(description="When it ends: set by the rotation that replaced it.")
    last_used_at: Time | None = Field(description="To the minute.")


class KeyObject(BaseModel):
    """An API key."""

    id: str = Field(examples=[_KEY])
    object: Literal["api_key"] = "api_key"
    name: str
    scopes: list[ScopeName]
    status: Literal["live", "expired", "revoked"]
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None
    requests_per_minute: int | None = Field(description="Its own limit; null takes the service's, 0 sets none.")
    megapixels_per_minute: int | None
    queue_depth: int | None
    secrets: list[SecretObject] = Field(description="Those that still let in, oldest first.")


class IssuedKeyObject(KeyObject):
    """A key just made. Keep `token` and `webhook_secret`: they can't be shown again."""

    token: str = Field(examples=["pk_live_5f0c2a91_…"])
    webhook_secret: str = Field(examples=["whsec_…"])


class RotatedKeyObject(KeyObject):
    """A key with a new secret. Keep `token`: it can't be shown again."""

    token: str = Field(examples=["pk_live_5f0c2a91_…"])


class KeyList(BaseModel):
    """A page of keys, newest first."""

    object: Literal["list"] = "list"
    data: list[KeyObject]
    has_more: bool = Field(description="Whether there are more in the direction asked for.")


def key_object(key: ApiKey) -> KeyObject:
    """A key with its secrets loaded."""
    now = datetime.now(UTC)
    is_expired = key.expires_at is not None and key.expires_at <= now
    used = [secret.last_used_at for secret in key.secrets if secret.last_used_at is not None]
    return KeyObject(
        id=keys.public_id(key.id),
        name=key.name,
        scopes=key.scopes,
        status="revoked" if key.revoked_at else "expired" if is_expired else "live",
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=max(used, default=None),
        **vars(keys.own_quotas(key)),
        secrets=[
            _secret_object(secret) for secret in key.secrets if secret.expires_at is None or secret.expires_at > now
        ],
    )


def _secret_object(secret: ApiKeySecret) -> SecretObject:
    return SecretObject(
        hint=keys.hint(secret.short),
        created_at=secret.created_at,
        expires_at=secret.expires_at,
        last_used_at=secret.last_used_at,
    )
