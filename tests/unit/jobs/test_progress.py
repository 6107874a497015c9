"""Estimates by what was measured."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.progress import estimate, progress, smoothed_rate

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_no_rate_until_something_has_ended() -> None:
    assert smoothed_rate(None, 0, 3.0) is None
    assert smoothed_rate(None, 6, 3.0) == 2.0
    assert smoothed_rate(2.0, 6, 0.0) == 2.0


def test_a_rate_follows_what_is_measured() -> None:
    rate = smoothed_rate(10.0, 0, 60.0)
    assert rate == pytest.approx(10.0 / 2.718, rel=0.01)
    for _ in range(100):
        rate = smoothed_rate(rate, 15, 3.0)
    assert rate == pytest.approx(5.0, rel=0.01)


def test_an_estimate_is_what_is_left_at_this_rate() -> None:
    assert estimate(100, 2.0, NOW) == NOW + timedelta(seconds=50)
    assert estimate(100, None, NOW) is None
    assert estimate(0, 2.0, NOW) is None
    assert estimate(50_000, 1e-9, NOW) is None
    assert (progress(1, 3), progress(0, 0)) == (0.3333, 0.0)
