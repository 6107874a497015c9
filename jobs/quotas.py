"""How much a key may ask for. Pure: the counting is in `dispatch.counters` and `db.jobs`.

Windows of a minute begin with a key's first use and are counted whole; what was refused is not counted. A request is
admitted while less than the quota is used, so the photo that is larger than what is left, or than the whole quota,
still gets its turn.
"""

import math
from dataclasses import dataclass
from uuid import UUID

WINDOW_S = 60
MEGAPIXELS = "megapixels"


def counter_of(policy: str, api_key_id: UUID) -> str:
    """The name of a key's counter in `dispatch.counters`."""
    return f"{policy}:{api_key_id.hex}"


@dataclass(frozen=True)
class Quotas:
    """Of one key; None sets no limit."""

    requests_per_minute: int | None
    megapixels_per_minute: int | None
    queue_depth: int | None


@dataclass(frozen=True)
class OwnQuotas:
    """What a key has of its own: None takes the service's, 0 sets no limit."""

    requests_per_minute: int | None = None
    megapixels_per_minute: int | None = None
    queue_depth: int | None = None

    def effective(self, service: "OwnQuotas") -> Quotas:
        """With the service's for what is not set."""

        def pick(own: int | None, default: int | None) -> int | None:
            return (default if own is None else own) or None

        return Quotas(
            pick(self.requests_per_minute, service.requests_per_minute),
            pick(self.megapixels_per_minute, service.megapixels_per_minute),
            pick(self.queue_depth, service.queue_depth),
        )


@dataclass(frozen=True)
class Standing:
    """How far a quota is used. `reset_s` is None where it is no window but a depth."""

    policy: str
    quota: int
    used: float
    is_refused: bool
    reset_s: int | None

    @property
    def remaining(self) -> int:
        """Whole units that are left."""
        return max(0, math.floor(self.quota - self.used))

    @property
    def policy_header(self) -> str:
        """An item of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10)."""
        window = "" if self.reset_s is None else f";w={WINDOW_S}"
        return f'"{self.policy}";q={self.quota}{window}'

    @property
    def header(self) -> str:
        """An item of `RateLimit`."""
        reset = "" if self.reset_s is None else f";t={self.reset_s}"
        return f'"{self.policy}";r={self.remaining}{reset}'
