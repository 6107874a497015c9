"""`Prefer` and `If-None-Match` as their specifications have them."""

import pytest

from api.waiting import matches, preferred_wait


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        (None, None),
        ("", None),
        ("wait", 60),
        ("wait=1", 1),
        ("wait=60", 60),
        ("wait=61", 60),
        ("wait=99999", 60),
        ("WAIT = 5", 5),
        ('wait="7"', 7),
        ("wait=10; why=not", 10),
        ("respond-async, wait=10, wait=20", 10),
        ("wait=0", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=ten", None),
        ("wait=\u0661", None),
        ("waiting=3", None),
        ("respond-async", None),
    ],
)
def test_prefer_wait(header: str | None, wait_s: int | None) -> None:
    assert preferred_wait(header) == wait_s


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, False),
        ("", False),
        ('W/"a"', True),
        ('"a"', True),
        ('"b", W/"a"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
    ],
)
def test_if_none_match(given: str | None, expected) -> None:
    assert matches(given, 'W/"a"') is expected
