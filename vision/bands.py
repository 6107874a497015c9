"""Work in the edge band only: a photo in square tiles, each seen at a middle and at the native resolution.

Local colours are smooth, so their statistics are gathered on a shrunken photo and grown back over a tile: native pixel
y of a tile lies at (y + 1/2) / factor + 1/2 in maps that keep one pixel of their margin, x likewise, between them it is
bilinear. Cost and memory follow the length of the product's edge, not the area of the photo.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import Alpha, Hw, Mask, RgbImage

Maps: TypeAlias = NDArray[np.float32]
"""(h, w, C) float32: several maps side by side."""

TILE_PX = 32
"""Side of a tile at the middle resolution: its maps stay in the processor's cache."""


@dataclass(frozen=True)
class Tile:
    """A square of the photo."""

    native: tuple[slice, slice]
    middle: tuple[slice, slice]
    """Its place at the middle resolution with the margin on every side, in arrays that `Bands.pad` padded."""
    core: tuple[slice, slice]
    """Its place at the middle resolution without margin, in arrays that were not padded."""


@dataclass(frozen=True)
class Bands:
    """Geometry of a photo and of its shrunken copy; `factor` native pixels are one middle pixel."""

    native_hw: Hw
    factor: int
    margin_px: int
    """Margin around a tile at the middle resolution: at least as far as the statistics reach, plus 1."""

    @property
    def middle_hw(self) -> Hw:
        """Whole middle pixels; up to factor - 1 native rows and columns lie beyond the last."""
        return self.native_hw[0] // self.factor, self.native_hw[1] // self.factor

    def shrink(self, image: RgbImage | Alpha) -> Maps:
        """(H, W[, 3]) -> area means at the middle resolution, float32, in the values of the input."""
        height, width = self.middle_hw
        whole = image[: height * self.factor, : width * self.factor]
        small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA) if self.factor > 1 else whole
        return np.asarray(small, np.float32)

    def pad(self, middle: Maps) -> Maps:
        """Repeat the border as far as tiles reach beyond it."""
        near, far = self.margin_px, self.margin_px + 1
        return np.asarray(cv2.copyMakeBorder(middle, near, far, near, far, cv2.BORDER_REPLICATE), np.float32)

    def tiles(self, wanted: Mask) -> Iterator[tuple[Tile, bool]]:
        """Every tile, row by row, and whether `wanted` (middle resolution) holds any of its pixels."""
        (height, width), step = self.native_hw, TILE_PX
        for top in range(0, -(-height // self.factor), step):
            for left in range(0, -(-width // self.factor), step):
                # The last tile takes the native pixels that are less than a whole middle pixel.
                bottom, right = (
                    min(top + step, -(-height // self.factor)),
                    min(left + step, -(-width // self.factor)),
                )
                tile = Tile(
                    (
                        slice(top * self.factor, min(bottom * self.factor, height)),
                        slice(left * self.factor, min(right * self.factor, width)),
                    ),
                    (slice(top, bottom + 2 * self.margin_px), slice(left, right + 2 * self.margin_px)),
                    (
                        slice(min(top, self.middle_hw[0] - 1), bottom),
                        slice(min(left, self.middle_hw[1] - 1), right),
                    ),
                )
                yield tile, bool(wanted[tile.core].any())


def box_mean(maps: Maps, radius_px: int) -> Maps:
    """Mean over squares of side 2 * radius_px + 1; the border is repeated."""
    side = 2 * radius_px + 1
    blurred = cv2.blur(maps, (side, side), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32).reshape(maps.shape)
