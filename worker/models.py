"""The models that a worker can run: one loaded at the start, others when a job asks for them."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from jobs.errors import JobError
from vision.arrays import Canvas, Logits, RgbImage
from vision.calibration import Calibration
from vision.segmenters.unet import Prepared


class StagedSegmenter(Protocol):
    """A segmenter in stages, see `vision.segmenters.unet.UnetSegmenter`. `prepare` may run in any thread."""

    @property
    def version(self) -> str:
        """Model id, such as `unet-fast@1`."""

    @property
    def runtime(self) -> str:
        """What computes it."""

    @property
    def calibration(self) -> Calibration | None:
        """What its confidence is worth; None until it was measured."""

    def prepare(self, image: RgbImage) -> Prepared:
        """A photo as the network sees it."""

    def predict(self, canvases: Sequence[Canvas]) -> list[Logits]:
        """One forward; one thread at a time."""


class Models:
    """Segmenters by the name or id that jobs give; the empty name is the default."""

    def __init__(
        self, ids: Mapping[str, str], default: StagedSegmenter, load: Callable[[str], StagedSegmenter]
    ) -> None:
        """`ids`: name or id -> id, all that can be run; `load` makes the segmenter of an id."""
        self._ids = ids
        self._load = load
        self._lock = threading.Lock()
        self._loaded = {default.version: default}
        self.default = default

    def resolve(self, model: str) -> tuple[str, str]:
        """(model id, runtime) as this worker would run it, loading nothing; empty strings for an unknown model.

        All models of a worker run on the runtime of its default.
        """
        model_id = self._ids.get(model, "") if model else self.default.version
        return (model_id, self.default.runtime) if model_id else ("", "")

    def get(self, model: str) -> StagedSegmenter:
        """The segmenter, loaded on first use. `JobError` `unknown_model`."""
        model_id, _ = self.resolve(model)
        if not model_id:
            raise JobError("unknown_model", f"This worker has no model {model!r}.")
        with self._lock:
            if model_id not in self._loaded:
                self._loaded[model_id] = self._load(model_id)
            return self._loaded[model_id]
