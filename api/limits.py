"""What a key has left: counted per key, never per address, as a proxy or the caller could name any."""

import threading
import time
from typing import Any
from uuid import UUID

from fastapi import Request

from api.metrics import Metrics
from api.problems import ProblemError
from config.settings import Settings
from db import queues
from db.session import Sessions
from dispatch.counters import Counters
from jobs.keys import Caller
from jobs.quotas import MEGAPIXELS, WINDOW_S, OwnQuotas, Quotas, Standing, counter_of

_QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
# Counting 100,000 rows takes some 20 ms: a depth is good for a second per as many.
_ROWS_A_SECOND = 100_000
_MOST_DEPTHS = 10_000
_QUEUE_RETRY_S = 30


def rate_limit_headers(scope_state: dict[str, Any]) -> dict[str, str]:
    """`RateLimit-Policy` and `RateLimit` of what was counted for this request."""
    standings: list[Standing] = scope_state.get("standings", [])
    if not standings:
        return {}
    return {
        "RateLimit-Policy": ", ".join(standing.policy_header for standing in standings),
        "RateLimit": ", ".join(standing.header for standing in standings),
    }


class Limiter:
    """Counts and refuses. Redis away: everything is admitted, and `packshot_rate_limit_failures_total` tells."""

    def __init__(self, settings: Settings, counters: Counters, sessions: Sessions, metrics: Metrics) -> None:
        self._service = OwnQuotas(settings.requests_per_minute, settings.megapixels_per_minute, settings.queue_depth)
        self._counters = counters
        self._sessions = sessions
        self._metrics = metrics
        self._depths: dict[UUID, tuple[int, float]] = {}  # of each key, and until when it is good
        self._lock = threading.Lock()

    def quotas(self, caller: Caller) -> Quotas:
        """Those that hold for this key."""
        return caller.quotas.effective(self._service)

    def count_request(self, request: Request, caller: Caller) -> None:
        """One request. `ProblemError` `rate_limited`."""
        self._take(request, caller, "requests", 1, self.quotas(caller).requests_per_minute)

    def admit_photo(self, request: Request, caller: Caller, megapixels: float) -> None:
        """Photos to be queued. `ProblemError` `rate_limited`, `queue_full`.

        0 megapixels where no size is known yet: io workers charge them once the photos are here.
        """
        self.require_room(request, caller)
        self._take(request, caller, MEGAPIXELS, megapixels, self.quotas(caller).megapixels_per_minute)

    def require_room(self, request: Request, caller: Caller) -> None:
        """Fewer jobs of the key are waiting or worked on than may. `ProblemError` `queue_full`."""
        quota = self.quotas(caller).queue_depth
        if quota is None:
            return
        depth = self.depth(caller.id, at_most=quota)
        standing = Standing("queue", quota, depth, is_refused=depth >= quota, reset_s=None)
        detail = f"This key has {quota} jobs that have not ended; it may have no more."
        self._note(request, standing, "queue_full", detail, _QUEUE_RETRY_S)

    def depth(self, key_id: UUID, *, at_most: int) -> int:
        """Jobs of the key that are not final, counted lately and with those taken since."""
        now = time.monotonic()
        with self._lock:
            depth, good_until = self._depths.get(key_id, (0, 0.0))
            # A full queue is counted anew each time, or a key that may go on would hear so late.
            if now < good_until and depth < at_most:
                self._depths[key_id] = (depth + 1, good_until)
                return depth
        with self._sessions.begin() as session:
            depth = queues.count_open(session, key_id, at_most=at_most)
        with self._lock:
            if len(self._depths) > _MOST_DEPTHS:
                self._depths.clear()
            self._depths[key_id] = (depth + 1, now + max(1.0, depth / _ROWS_A_SECOND))
        return depth

    def _take(self, request: Request, caller: Caller, policy: str, amount: float, quota: int | None) -> None:
        if quota is None:
            return
        taken = self._counters.take(counter_of(policy, caller.id), amount, quota=quota, window_s=WINDOW_S)
        if taken is None:
            self._metrics.count_rate_limit_failure()
            return
        standing = Standing(policy, quota, taken.used, is_refused=not taken.is_admitted, reset_s=taken.reset_s)
        detail = f"This key has used its {quota} {policy} a minute."
        self._note(request, standing, "rate_limited", detail, taken.reset_s)

    @staticmethod
    def _note(request: Request, standing: Standing, code: str, detail: str, retry_after_s: int) -> None:
        """Keep it for the reply's headers, and refuse where it is to be refused."""
        state = request.scope.setdefault("state", {})
        state["standings"] = [*state.get("standings", []), standing]
        if standing.is_refused:
            raise ProblemError(
                code,
                detail,
                headers={"Retry-After": str(retry_after_s)},
                extra={"type": _QUOTA_EXCEEDED, "violated-policies": [standing.policy]},
            )
