from datetime import UTC, datetime, timedelta

import pytest

from jobs.durations import parse_duration
from jobs.lanes import Lane, draw
from jobs.schedule import Schedule, judge_schedule

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_nothing_said() -> None:
    assert judge_schedule({}, now=NOW) == (Schedule(), [])


@pytest.mark.parametrize(
    ("fields", "schedule"),
    [
        ({"priority": "interactive"}, Schedule(priority=Lane.INTERACTIVE)),
        ({"priority": "bulk"}, Schedule(priority=Lane.BULK)),
        ({"expires_in": 90}, Schedule(deadline=NOW + timedelta(seconds=90))),
        ({"expires_in": "15m"}, Schedule(deadline=NOW + timedelta(minutes=15))),
        ({"deadline": "2026-11-24T13:00:00Z"}, Schedule(deadline=NOW + timedelta(hours=1))),
        ({"deadline": "2026-11-24T18:00:00+05:00"}, Schedule(deadline=NOW + timedelta(hours=1))),
        ({"retention": "1d"}, Schedule(retention=timedelta(days=1))),
        ({"dedupe": "reuse"}, Schedule(reuse=True)),
        ({"dedupe": "none"}, Schedule()),
    ],
)
def test_good_fields(fields: dict[str, object], schedule: Schedule) -> None:
    assert judge_schedule(fields, now=NOW) == (schedule, [])


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"priority": "urgent"}, "/priority", "invalid_option"),
        ({"priority": 1}, "/priority", "invalid_option"),
        ({"expires_in": "0"}, "/expires_in", "invalid_deadline"),
        ({"expires_in": "-5"}, "/expires_in", "invalid_deadline"),
        ({"expires_in": "31d"}, "/expires_in", "invalid_deadline"),
        ({"expires_in": "1 week"}, "/expires_in", "invalid_deadline"),
        ({"deadline": "2026-11-24T11:00:00Z"}, "/deadline", "invalid_deadline"),
        ({"deadline": "2026-11-24T13:00:00"}, "/deadline", "invalid_deadline"),
        ({"deadline": "2027-11-24T13:00:00Z"}, "/deadline", "invalid_deadline"),
        ({"deadline": "soon"}, "/deadline", "invalid_deadline"),
        ({"expires_in": 60, "deadline": "2026-11-24T13:00:00Z"}, "/deadline", "invalid_deadline"),
        ({"retention": "59s"}, "/retention", "invalid_retention"),
        ({"dedupe": "always"}, "/dedupe", "invalid_option"),
    ],
)
def test_a_bad_field_is_named(fields: dict[str, object], pointer: str, code: str) -> None:
    _, errors = judge_schedule(fields, now=NOW)
    assert [(error.pointer, error.code) for error in errors] == [(pointer, code)]


@pytest.mark.parametrize(("given", "seconds"), [(90, 90), ("90", 90), ("90s", 90), ("2h", 7200), ("7d", 604_800)])
def test_durations(given: str | int, seconds: int) -> None:
    assert parse_duration(given) == timedelta(seconds=seconds)


def test_every_lane_is_drawn_in_its_turn() -> None:
    drawn = [draw() for _ in range(2000)]
    assert drawn.count(Lane.INTERACTIVE) > drawn.count(Lane.NORMAL) > drawn.count(Lane.BULK) > 100
