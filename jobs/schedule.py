"""When a photo is worked on, how long that counts, how long files stay, and whether it is needed at all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.durations import Duration, parse_duration
from jobs.errors import FieldError
from jobs.fields import Text
from jobs.lanes import LANES, Lane

MAX_DEADLINE = timedelta(days=30)
MIN_RETENTION = timedelta(minutes=1)
_DEDUPE = ("none", "reuse")


class ScheduleFields(BaseModel):
    """Fields beside those that say what is made: of a submission, of a batch, and of its lines."""

    model_config = ConfigDict(extra="forbid", strict=True)

    priority: Text | None = Field(
        None, description="Lane among the key's own photos: `interactive`, `normal` (default) or `bulk`."
    )
    expires_in: Duration | None = Field(
        None,
        description="The job expires unless it has ended after this time: seconds, or `90s`, `15m`, `24h`, `7d`. "
        "The header `Cancel-After` says the same.",
        examples=["15m"],
    )
    deadline: Text | None = Field(
        None, description="The same as a time (RFC 3339, with its zone).", examples=["2026-12-24T18:00:00Z"]
    )
    retention: Duration | None = Field(
        None, description="How long the files stay after the job has ended: as the key's retention, or shorter."
    )


class ScheduleCreate(ScheduleFields):
    """Those of a single submission."""

    dedupe: Text | None = Field(
        None,
        description="`reuse` answers 200 with the key's job of the same photo and options, if one is under way or has "
        "succeeded; that job keeps its own labels. For uploads. `none` (default) makes a job in any case.",
    )


@dataclass(frozen=True)
class Schedule:
    """Effective values. `deadline` is absolute; `retention` None is the key's; `reuse`: a job like it will do."""

    priority: Lane = Lane.NORMAL
    deadline: datetime | None = None
    retention: timedelta | None = None
    reuse: bool = False


def judge_schedule(
    fields: Mapping[str, Any], *, now: datetime | None = None, lane: Lane = Lane.NORMAL
) -> tuple[Schedule, list[FieldError]]:
    """Judge the fields of `ScheduleCreate`, all errors at once; with errors the schedule is not to be used.

    `now` is the time from which `expires_in` counts, `lane` the priority where none is given.
    """
    try:
        given = ScheduleCreate.model_validate(dict(fields))
    except ValidationError as error:
        found = {str(problem["loc"][0]): problem["msg"] for problem in error.errors(include_url=False)}
        return Schedule(), [FieldError(f"/{name}", _CODES[name], f"{name}: {text}.") for name, text in found.items()]
    errors: list[FieldError] = []

    def judge(name: str, parse: Callable[[Any], Any]) -> Any:
        value = getattr(given, name)
        if value is None:
            return None
        try:
            return parse(value)
        except ValueError as error:
            errors.append(FieldError(f"/{name}", _CODES[name], f"{name}: {error}."))
            return None

    now = now or datetime.now(UTC)
    after = judge("expires_in", _expires_in)
    deadline = judge("deadline", lambda text: _deadline(text, now))
    if given.expires_in is not None and given.deadline is not None:
        errors.append(FieldError("/deadline", "invalid_deadline", "Send one of expires_in and deadline."))
    priority = judge("priority", _lane)
    schedule = Schedule(
        priority=lane if priority is None else priority,
        deadline=deadline if after is None else now + after,
        retention=judge("retention", _retention),
        reuse=judge("dedupe", _dedupe) == "reuse",
    )
    return schedule, errors


_CODES = {
    "priority": "invalid_option",
    "expires_in": "invalid_deadline",
    "deadline": "invalid_deadline",
    "retention": "invalid_retention",
    "dedupe": "invalid_option",
}


def _lane(word: str) -> Lane:
    if word not in LANES:
        raise ValueError(f"one of {', '.join(LANES)}")
    return LANES[word]


def _dedupe(word: str) -> str:
    if word not in _DEDUPE:
        raise ValueError(f"one of {', '.join(_DEDUPE)}")
    return word


def _expires_in(given: str | int) -> timedelta:
    after = parse_duration(given)
    if not timedelta(0) < after <= MAX_DEADLINE:
        raise ValueError(f"1 second to {MAX_DEADLINE.days} days")
    return after


def _deadline(text: str, now: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a time such as 2026-12-24T18:00:00Z") from None
    if at.tzinfo is None:
        raise ValueError("a time with its zone, such as 2026-12-24T18:00:00Z")
    if not now < at <= now + MAX_DEADLINE:
        raise ValueError(f"a time to come, within {MAX_DEADLINE.days} days")
    return at


def too_long_kept(longest: timedelta) -> str:
    """Why a retention is refused that is longer than the key's."""
    return f"retention: this key's files stay {longest} at most."


def _retention(given: str | int) -> timedelta:
    retention = parse_duration(given)
    if retention < MIN_RETENTION:
        raise ValueError("at least one minute")
    return retention
