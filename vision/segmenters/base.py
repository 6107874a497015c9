"""What every segmenter offers, whatever stands behind it."""

from collections.abc import Sequence
from typing import Protocol

from vision.arrays import Alpha, RgbImage


class SegmenterOutOfMemory(Exception):  # noqa: N818
    """The device has no memory for a microbatch of this size; a smaller one may fit."""


class Segmenter(Protocol):
    """Tells product from background; keeps no state between calls."""

    @property
    def version(self) -> str:
        """Model id, such as `unet-fast@1`."""

    @property
    def runtime(self) -> str:
        """What computes it, such as `openvino-cpu`."""

    def segment(self, images: Sequence[RgbImage]) -> list[Alpha]:
        """Images (H, W, 3) uint8 of any sizes -> alphas (H, W) float32 in [0, 1], same order, not refined.

        SegmenterOutOfMemory when the microbatch does not fit the device.
        """
