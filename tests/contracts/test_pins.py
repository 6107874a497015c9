"""constraints.txt pins exactly what is installed, and names no index, no URL and no folder."""

import re
from pathlib import Path

from tests.contracts.pins import elsewhere, installed_pins, unmet

_PIN = re.compile(r"([a-z0-9][a-z0-9-]*)==([0-9][A-Za-z0-9.+!]*)")
_LINES = (Path(__file__).parents[2] / "constraints.txt").read_text(encoding="utf-8").splitlines()


def test_every_line_is_an_exact_pin() -> None:
    odd = [line for line in _LINES if not line.startswith("#") and not _PIN.fullmatch(line)]
    assert odd == []


def test_the_pins_are_what_is_installed() -> None:
    pinned = dict(match.groups() for line in _LINES if (match := _PIN.fullmatch(line)))
    for_others = elsewhere()
    here = {name: number for name, number in pinned.items() if name not in for_others}
    assert here == installed_pins(), "run `make pins`"


def test_what_is_installed_is_what_pyproject_asks_for() -> None:
    assert unmet() == []
