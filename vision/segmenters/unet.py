"""The U-Net as a segmenter, in stages that a pipeline can run and time apart."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from vision.arrays import Alpha, Canvas, Logits, RgbImage
from vision.calibration import Calibration
from vision.letterbox import Letterbox
from vision.segmenters.checksum import WeightsError, checked_weights
from vision.segmenters.looks import Prepared, segment_unrefined
from vision.segmenters.runtimes import Runtime, RuntimeOptions, build_runtime
from vision.segmenters.spec import WEIGHTS_FOLDER, ModelSpec

if TYPE_CHECKING:
    from torch import nn


def _network(spec: ModelSpec, folder: Path) -> "nn.Module":
    """A kept conversion needs no PyTorch, so it is imported where there is none."""
    from vision.segmenters.network import load_network  # noqa: PLC0415

    return load_network(spec, folder)


class UnetSegmenter:
    """`prepare` each photo, `look_at` a microbatch by `predict`; `segment` is all in a row, at the photos' sizes.

    `prepare` is pure and may run in any thread; `predict` is called by one thread at a time.
    """

    def __init__(self, spec: ModelSpec, runtime: Runtime) -> None:
        self.spec = spec
        self._runtime = runtime

    @classmethod
    def load(
        cls,
        spec: ModelSpec,
        *,
        folder: Path = WEIGHTS_FOLDER,
        runtime: str = "auto",
        options: RuntimeOptions | None = None,
    ) -> Self:
        """Weights of `spec` from `folder` on a runtime by its name. WeightsError for wrong weights."""
        options = options or RuntimeOptions()
        checked_weights(spec, folder)
        return cls(spec, build_runtime(runtime, partial(_network, spec, folder), spec, options))

    @property
    def version(self) -> str:
        """Model id, such as `unet-fast@1`."""
        return self.spec.model_id

    @property
    def runtime(self) -> str:
        """What computes it, such as `openvino-cpu`."""
        return self._runtime.name

    @property
    def calibration(self) -> Calibration | None:
        """What its confidence is worth; None until it was measured."""
        return self.spec.calibration

    @property
    def looks(self) -> int:
        """1 or 2, see `vision.segmenters.looks`."""
        return self.spec.looks

    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        """Run an empty microbatch of each size: compilers and allocators do their work before the first job."""
        blank = np.zeros((*self.spec.canvas_hw, 3), np.uint8)
        for size in batch_sizes:
            self.predict([blank] * size)

    def try_out(self) -> None:
        """Look at its logits of black, white and noise. WeightsError where they are no numbers."""
        shape = (*self.spec.canvas_hw, 3)
        noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        for canvas in (np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), noise):
            if not np.isfinite(self.predict([canvas])[0]).all():
                raise WeightsError(f"{self.version} gives values that are no numbers")

    def prepare(self, image: RgbImage) -> Prepared:
        """(H, W, 3) uint8 -> its canvas and geometry."""
        letterbox = Letterbox.fit((image.shape[0], image.shape[1]), self.spec.canvas_hw)
        return Prepared(letterbox.apply(image), letterbox)

    def predict(self, canvases: Sequence[Canvas]) -> list[Logits]:
        """Canvases of `spec.canvas_hw` -> logits of the same size, same order.

        SegmenterOutOfMemory when they do not fit the device together.
        """
        if not canvases:
            return []
        batch = np.ascontiguousarray(np.stack(canvases).transpose(0, 3, 1, 2))
        return list(self._runtime.run(batch)[:, 0])

    def segment(self, images: Sequence[RgbImage]) -> list[Alpha]:
        """As the protocol: alphas at the photos' sizes, not refined."""
        return segment_unrefined(self, images)
