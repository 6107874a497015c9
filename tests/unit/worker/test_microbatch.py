"""What becomes of a microbatch whose forward fails."""

from collections.abc import Sequence

import numpy as np
import pytest

from db.session import DATABASE_AWAY
from jobs.errors import JobError
from storage.port import ObjectNotFoundError, StorageUnavailableError
from tests.fakes import CANVAS_HW, FakeSegmenter
from vision.arrays import Canvas
from vision.errors import ImageError
from vision.segmenters.base import SegmenterOutOfMemory
from worker.boundary import contain, job_error
from worker.microbatch import predict_each


def canvases(count: int) -> list[Canvas]:
    return [np.full((*CANVAS_HW, 3), n, np.uint8) for n in range(count)]


def test_order_is_kept_when_a_microbatch_is_split() -> None:
    segmenter = FakeSegmenter()

    def fail(batch: Sequence[Canvas]) -> None:
        if len(batch) > 3:
            raise SegmenterOutOfMemory
        if any(canvas[0, 0, 0] == 4 for canvas in batch):
            raise ValueError("four")

    segmenter.before_predict = fail
    results = predict_each(segmenter, canvases(7))
    assert [isinstance(result, ValueError) for result in results] == [n == 4 for n in range(7)]
    levels = [(128 - result[0, 0] * 4) for result in results if not isinstance(result, Exception)]
    assert levels == [0, 1, 2, 3, 5, 6]
    assert segmenter.microbatches[0] == 7


def test_no_memory_for_a_single_photo_is_its_result() -> None:
    segmenter = FakeSegmenter()

    def fail(_: Sequence[Canvas]) -> None:
        raise SegmenterOutOfMemory

    segmenter.before_predict = fail
    assert [type(result) for result in predict_each(segmenter, canvases(2))] == [SegmenterOutOfMemory] * 2
    assert segmenter.microbatches == [2, 1, 1]
    assert predict_each(segmenter, []) == []


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (ImageError("resolution_too_high", "too large"), "resolution_too_high", False),
        (JobError("unknown_model", "none"), "unknown_model", False),
        (ObjectNotFoundError("key"), "source_lost", False),
        (StorageUnavailableError("full"), "storage_unavailable", True),
        (SegmenterOutOfMemory(), "out_of_memory", True),
        (MemoryError(), "out_of_memory", True),
        (DATABASE_AWAY[0]("SELECT", {}, Exception("away")), "database_unavailable", True),
        (ZeroDivisionError("secret path"), "job_broke", False),
    ],
)
def test_every_exception_becomes_a_stable_code(error: Exception, code: str, *, retryable: bool) -> None:
    found = job_error(error)
    assert (found.code, found.retryable) == (code, retryable)
    assert "secret" not in found.detail


def test_contain_returns_what_was_raised_but_lets_the_process_end() -> None:
    assert contain(lambda: 3) == 3
    assert isinstance(contain(lambda: 1 // 0), ZeroDivisionError)

    def leave() -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        contain(leave)
