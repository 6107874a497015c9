"""Replies of services older and newer than the client."""

import dataclasses
from datetime import UTC, datetime

import pytest

from packshot_client import Batch, Job, UnexpectedReplyError
from packshot_client.reading import read
from tests.unit.client.service import JOB


def test_unknown_fields_are_left_out_and_missing_ones_take_defaults() -> None:
    job = read(Job, {**JOB, "status": "paused", "new": {"deep": [1]}, "input": {"bytes": 3, "colour": "red"}})
    assert job.created_at == datetime(2026, 11, 23, 20, 28, 4, 370000, UTC)
    assert (job.status, job.is_final, job.input.bytes, job.input.width) == ("paused", False, 3, None)
    assert (job.outputs, job.labels, job.error) == ((), {}, None)


def test_nested_objects() -> None:
    problem = {"code": "x", "title": "X.", "detail": None, "retryable": True}
    output = {"name": "cutout", "url": "u", "format": "png", "width": 3, "params": {"crop": True}, "error": problem}
    job = read(Job, {**JOB, "outputs": [output], "reasons": ["touches_edge"], "completed_at": None})
    assert job.reasons == ("touches_edge",)
    assert job.output("cutout").error.retryable is True
    assert job.output("other") is None
    assert read(Batch, {**JOB, "progress": 1}).progress == 1.0


def test_they_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read(Job, JOB).status = "failed"


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", None), ("attempt", True), ("attempt", "1"), ("created_at", "soon"), ("outputs", {}), ("reasons", [1])],
)
def test_what_has_another_type(field: str, value: object) -> None:
    with pytest.raises(UnexpectedReplyError, match=field):
        read(Job, {**JOB, field: value})
