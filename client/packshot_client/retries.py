"""Whether a failed request is sent again, and when; and what it is in the end."""

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from packshot_client.errors import NoAnswerError, PackshotError, Problem, error_of, field_problems
from packshot_client.steps import Broken, Outcome, Pause, Plan, Reply, Request, Step, T

_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that are worth another try, unless a problem says that it is not."""
_IN_FLIGHT = "idempotency_in_flight"
"""The one conflict that is over soon: an earlier try of the same request is still at work."""
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_EXCERPT = 200


@dataclass(frozen=True)
class Retries:
    """How often, and with what pauses: each twice as long as the one before, less up to a half by chance.

    A pause is never shorter than `Retry-After` asks. Where that is longer than `max_pause_s` the call fails at once,
    and the exception's `problem.retry_after_s` says what was asked.
    """

    attempts: int = 5
    first_pause_s: float = 0.5
    max_pause_s: float = 30.0

    def pause_s(self, request: Request, outcome: Outcome, attempt: int, rng: random.Random) -> float | None:
        """Seconds to wait before the next try, after try number `attempt` (from 1); None where there is none."""
        if attempt >= self.attempts or not _may_repeat(request, outcome):
            return None
        backoff_s = min(self.first_pause_s * 2.0 ** (attempt - 1), self.max_pause_s) * rng.uniform(0.5, 1.0)
        asked_s = retry_after_s(outcome.headers) if isinstance(outcome, Reply) else None
        if asked_s is not None and asked_s > self.max_pause_s:
            return None
        return max(backoff_s, asked_s or 0.0)


def with_retries(plan: Plan[T], retries: Retries, rng: random.Random) -> Plan[T]:
    """The plan, which from now on sees only replies of success; errors are raised where it yielded the request."""
    try:
        step: Step = next(plan)
        while True:
            if isinstance(step, Pause):
                yield step
                step = next(plan)
                continue
            outcome, attempt = (yield step), 1
            while (pause_s := retries.pause_s(step, outcome, attempt, rng)) is not None:
                yield Pause(pause_s)
                outcome, attempt = (yield step), attempt + 1
            if isinstance(outcome, Reply) and outcome.is_success:
                step = plan.send(replace(outcome, attempt=attempt))
            else:
                step = plan.throw(_error(step, outcome, attempt))
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        plan.close()


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds from now: a number or a date (RFC 9110 section 10.2.3); None where it says nothing."""
    given = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(given):
        return float(given)
    try:
        at = parsedate_to_datetime(given)
    except (ValueError, OverflowError):
        return None
    zoned = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((zoned - datetime.now(UTC)).total_seconds(), 0.0)


def problem_of(reply: Reply) -> Problem:
    """What an error reply says; one that is no problem+json comes from a proxy, or from something else entirely."""
    body = _json(reply)
    after_s = retry_after_s(reply.headers)
    if isinstance(body.get("code"), str):
        return Problem(
            status=reply.status,
            code=body["code"],
            title=str(body.get("title", "")),
            detail=str(body.get("detail", "")),
            errors=field_problems(body.get("errors")),
            request_id=body.get("request_id") or reply.headers.get("x-request-id"),
            retryable=body.get("retryable") is True,
            retry_after_s=after_s,
        )
    return Problem(
        status=reply.status,
        code=f"http_{reply.status}",
        title=HTTPStatus(reply.status).phrase if reply.status in set(HTTPStatus) else "",
        detail=reply.body[:_EXCERPT].decode("utf-8", "replace"),
        request_id=reply.headers.get("x-request-id"),
        retryable=reply.status in _RETRIED,
        retry_after_s=after_s,
    )


def _may_repeat(request: Request, outcome: Outcome) -> bool:
    if not request.is_repeatable:
        return False
    if isinstance(outcome, Reply):
        return not outcome.is_success and _is_passing(problem_of(outcome))
    return isinstance(outcome, Broken) and not outcome.is_permanent


def _is_passing(problem: Problem) -> bool:
    return problem.retryable and (problem.status in _RETRIED or problem.code == _IN_FLIGHT)


def _error(request: Request, outcome: Outcome, attempt: int) -> PackshotError:
    if isinstance(outcome, Reply):
        error: PackshotError = error_of(problem_of(outcome))
    else:
        reason = outcome.reason if isinstance(outcome, Broken) else "no answer"
        error = NoAnswerError(f"{request.method} {request.path}: {reason}")
    error.attempts = attempt
    return error


def _json(reply: Reply) -> dict[str, Any]:
    try:
        body = json.loads(reply.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
