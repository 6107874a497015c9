"""Counters of a minute in Redis. They guard against too much, not for correctness: without Redis all is admitted."""

import math
import time
from dataclasses import dataclass

import structlog
from redis import Redis
from redis.exceptions import RedisError

from config.settings import Settings

log = structlog.get_logger(__name__)

# A broker that is away must cost a request next to nothing.
_TIMEOUT_S = 0.25
_PAUSE_S = 2.0

# One step, so that two processes never both take the last one. The window begins with its first use.
_TAKE = """
local used = tonumber(redis.call('GET', KEYS[1]) or '0')
local left_ms = redis.call('PTTL', KEYS[1])
local window_ms = tonumber(ARGV[3])
if left_ms < 0 then left_ms = window_ms end
if used >= tonumber(ARGV[2]) then return {0, tostring(used), left_ms} end
used = redis.call('INCRBYFLOAT', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], left_ms)
return {1, tostring(used), left_ms}
"""


_NO_QUOTA = 2**53


@dataclass(frozen=True)
class Taken:
    """What a counter said."""

    is_admitted: bool
    used: float
    reset_s: int


class Counters:
    """Counters by name."""

    def __init__(self, settings: Settings) -> None:
        self._redis: Redis = Redis.from_url(
            settings.require_broker_url(), socket_connect_timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S
        )
        self._take = self._redis.register_script(_TAKE)
        self._silent_until = 0.0

    def take(self, name: str, amount: float, *, quota: int, window_s: int) -> Taken | None:
        """Take `amount` while less than `quota` is used; None when Redis is away."""
        if time.monotonic() < self._silent_until:
            return None
        try:
            admitted, used, left_ms = self._take(keys=[f"packshot:used:{name}"], args=[amount, quota, window_s * 1000])
        except RedisError as error:
            self._silent_until = time.monotonic() + _PAUSE_S
            log.warning("counter_failed", error=type(error).__name__)
            return None
        return Taken(bool(admitted), float(used), max(1, math.ceil(left_ms / 1000)))

    def charge(self, name: str, amount: float, *, window_s: int) -> None:
        """Take `amount` whatever is used already, of what could not be measured when it was admitted."""
        self.take(name, amount, quota=_NO_QUOTA, window_s=window_s)

    def close(self) -> None:
        """Give connections back."""
        self._redis.close()
