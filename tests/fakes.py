"""Stand-ins with a behaviour that a test can set."""

from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

import numpy as np

from db.session import Sessions
from jobs.models import Models as JobModels
from jobs.registry import read
from storage.local import LocalStorage
from storage.port import NOT_SERVED, Served, Storage, StorageUnavailableError
from vision.arrays import Canvas, Logits, RgbImage
from vision.calibration import Calibration
from vision.letterbox import Letterbox
from vision.segmenters.looks import Prepared
from vision.segmenters.spec import ModelSpec
from worker.models import Models

CANVAS_HW = (64, 64)


class FakeSegmenter:
    """Dark is product: logits fall with luminance. `before_predict` sees each microbatch and may raise or wait."""

    def __init__(self, version: str = "fake@1") -> None:
        self.version = version
        self.runtime = "fake-cpu"
        self.calibration: Calibration | None = None
        self.looks = 1
        self.microbatches: list[int] = []
        self.before_predict: Callable[[Sequence[Canvas]], None] = lambda _: None

    def prepare(self, image: RgbImage) -> Prepared:
        letterbox = Letterbox.fit((image.shape[0], image.shape[1]), CANVAS_HW)
        return Prepared(letterbox.apply(image), letterbox)

    def predict(self, canvases: Sequence[Canvas]) -> list[Logits]:
        self.microbatches.append(len(canvases))
        self.before_predict(canvases)
        return [(128 - canvas.mean(axis=2, dtype=np.float32)) / 4 for canvas in canvases]


def fake_spec(version: str = "1") -> ModelSpec:
    """The sidecar of a fake: it names no weights, and needs none."""
    grey = (0.5, 0.5, 0.5)
    return ModelSpec("fake", version, "none", "none", (8,), CANVAS_HW, grey, grey, "0" * 64)


def registered_fakes(sessions: Sessions, load: Callable[[str], FakeSegmenter] = FakeSegmenter) -> Models:
    """`fake@1` comes with the package, further versions are what the registry holds; `load` makes them."""
    packaged = JobModels((fake_spec(),))

    def read_ids() -> Mapping[str, str]:
        with sessions() as session:
            return read(session, packaged).ids

    return Models(read_ids(), FakeSegmenter("fake@1"), load, default_word="fake", read_ids=read_ids)


def fake_models(segmenter: FakeSegmenter) -> Models:
    """The fake under the name `fake`, and a second model `other` that is loaded on demand."""
    ids = {"fake": segmenter.version, segmenter.version: segmenter.version, "other": "other@1", "other@1": "other@1"}
    return Models(ids, segmenter, FakeSegmenter)


class FlakyStorage(LocalStorage):
    """A local store that is full as long as `is_full`."""

    is_full = False

    def put(self, key: str, body: bytes | memoryview | BinaryIO, served: Served = NOT_SERVED) -> int:
        if self.is_full:
            raise StorageUnavailableError("no space left")
        return super().put(key, body, served)


def keys_of(storage: Storage, prefix: str = "") -> list[str]:
    return sorted(stored.key for stored in storage.list(prefix))
