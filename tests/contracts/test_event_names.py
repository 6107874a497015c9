"""The events that the documentation names are those that the code makes, and those that a filter can ask for."""

import re
from pathlib import Path
from typing import get_args

from api.webhooks import EventFilter
from jobs import batches
from jobs.event_types import ENDS, PING, PROGRESS
from jobs.lifecycle import FINAL

_DOCS = Path(__file__).parents[2] / "docs" / "webhooks.md"


def made() -> set[str]:
    """An end is named by its status: `jobs.events` makes no other names."""
    ends = {f"job.{status.value}" for status in FINAL} | {f"batch.{status.value}" for status in batches.FINAL}
    return {*ends, *PROGRESS, PING}


def test_every_end_is_an_event_that_endpoints_are_told_of() -> None:
    assert {*ENDS, *PROGRESS, PING} == made()


def test_filters_can_ask_for_each_but_the_test() -> None:
    names = {name for name in get_args(EventFilter) if "*" not in name}
    assert names == made() - {PING}


def test_the_table_names_each_once() -> None:
    section = _DOCS.read_text(encoding="utf-8").partition("## Events\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    names = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert sorted(names) == sorted(made())
