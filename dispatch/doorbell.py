"""Doorbells: "there is work", and nothing more. Losing one costs a few seconds, never a job."""

import time

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from config.settings import Settings
from dispatch.names import TASKS, Bell

log = structlog.get_logger(__name__)

# A bell that rang and was not answered within this time may ring again; the sweeper does not wait for it.
_RUNG_MS = 30_000
# After a failure the broker is left alone for a moment, so that a request never waits twice for a dead one.
_PAUSE_S = 2.0


class Doorbell:
    """Rings queues, coalesced: while a ring is unanswered, further ones are not sent.

    A worker calls `answer` before it looks for rows. So a row committed before the answer is seen by that look, and
    one committed after it finds the bell free to ring again: fifty thousand jobs ring a few times.
    """

    def __init__(self, settings: Settings, celery: Celery) -> None:
        self._celery = celery
        self._redis: Redis = Redis.from_url(settings.require_broker_url(), socket_connect_timeout=1, socket_timeout=2)
        self._silent_until = 0.0

    def ring(self, bell: Bell, *, again: bool = False) -> bool:
        """Ring unless it rang and was not answered yet; `again` (the sweeper) looks whether a message waits.

        Returns whether the bell is rung. False means that the broker is away: logged, and mended by the sweeper.
        """
        if time.monotonic() < self._silent_until:
            return False
        try:
            fresh = self._redis.set(self._key(bell), "1", nx=True, px=_RUNG_MS)
            # The sweeper may ring for hours while nobody listens: one unread message is enough.
            if fresh or (again and not self._redis.llen(bell.value)):
                self._celery.send_task(TASKS[bell], queue=bell.value, retry=False, expires=60, ignore_result=True)
        except (RedisError, OperationalError) as error:
            self._silent_until = time.monotonic() + _PAUSE_S
            log.warning("doorbell_failed", bell=bell.value, error=type(error).__name__)
            return False
        return True

    def answer(self, bell: Bell) -> None:
        """Let the bell ring again; called before looking for rows."""
        try:
            self._redis.delete(self._key(bell))
        except RedisError as error:
            # The mark lapses by itself; the rows are looked for all the same.
            log.warning("doorbell_answer_failed", bell=bell.value, error=type(error).__name__)

    def is_reachable(self) -> bool:
        """Whether the broker answers now."""
        try:
            return bool(self._redis.ping())
        except RedisError:
            return False

    def close(self) -> None:
        """Give connections back."""
        self._redis.close()
        self._celery.close()

    @staticmethod
    def _key(bell: Bell) -> str:
        return f"packshot:bell:{bell.value}"
