"""One forward over several photos, two where the model looks twice, and what becomes of it when it fails."""

from collections.abc import Sequence
from functools import partial

import structlog

from vision.arrays import Canvas, Logits, RgbImage
from vision.segmenters.base import SegmenterOutOfMemory
from vision.segmenters.looks import Prepared, look_at
from worker.boundary import contain
from worker.models import StagedSegmenter

log = structlog.get_logger(__name__)


def look_at_each(segmenter: StagedSegmenter, photos: Sequence[tuple[RgbImage, Prepared]]) -> list[Logits | Exception]:
    """Logits of each photo without padding, or what went wrong with it, as `predict_each`; same order."""
    return look_at(segmenter, photos, partial(predict_each, segmenter), contain)


def predict_each(segmenter: StagedSegmenter, canvases: Sequence[Canvas]) -> list[Logits | Exception]:
    """Logits of each canvas, or what went wrong with it; same order.

    Out of memory halves the microbatch, down to one. Any other failure runs its photos one at a time, so that one
    that breaks the network fails alone.
    """
    if not canvases:
        return []
    found = contain(lambda: segmenter.predict(canvases))
    if not isinstance(found, Exception):
        return list(found)
    if len(canvases) == 1:
        return [found]
    size = len(canvases) // 2 if isinstance(found, SegmenterOutOfMemory) else 1
    log.warning("microbatch_split", images=len(canvases), into=size, error=repr(found))
    parts = (canvases[start : start + size] for start in range(0, len(canvases), size))
    return [result for part in parts for result in predict_each(segmenter, part)]
