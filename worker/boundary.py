"""The microbatch boundary: what goes wrong with one photo, or in one forward, stays there."""

import traceback
from collections.abc import Callable
from typing import TypeVar

import structlog

from db.session import DATABASE_AWAY
from jobs.errors import JobError
from jobs.lifecycle import STORAGE_AWAY
from storage.port import ObjectNotFoundError, StorageUnavailableError
from vision.errors import ImageError
from vision.segmenters.base import SegmenterOutOfMemory

log = structlog.get_logger(__name__)

_Made = TypeVar("_Made")

_PASSING: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    (DATABASE_AWAY, "database_unavailable", "The database could not be reached."),
    ((StorageUnavailableError,), STORAGE_AWAY, "The file store could not be written or read."),
    ((SegmenterOutOfMemory, MemoryError), "out_of_memory", "The worker had no memory for this photo."),
)


def contain(step: Callable[[], _Made]) -> _Made | Exception:
    """What `step` returns, or the exception it raised: the one broad except of the code."""
    try:
        return step()
    except Exception as error:  # noqa: BLE001 - a photo that breaks our code must not take its neighbours with it
        return error


def is_passing(error: Exception) -> bool:
    """Whether it is the fault of something that comes back by itself."""
    return any(isinstance(error, kinds) for kinds, _, _ in _PASSING)


def job_error(error: Exception) -> JobError:
    """The stable code that an exception means to a job. What nobody expected is logged with its traceback."""
    match error:
        case JobError():
            return error
        case ImageError():
            return JobError(error.code, error.detail)
        case ObjectNotFoundError():
            return JobError("source_lost", "The photo is not in the file store any more.")
    for kinds, code, detail in _PASSING:
        if isinstance(error, kinds):
            return JobError(code, detail, retryable=True)
    log.error("job_broke", error=repr(error), traceback="".join(traceback.format_exception(error)))
    return JobError("job_broke", "This photo made the worker fail. The operator's log says more.")
