"""Letterbox and its inverse: one geometry, both ways, in one file."""

from dataclasses import dataclass
from typing import Self, TypeVar

import cv2
import numpy as np

from vision.arrays import Canvas, Hw, Logits, RgbImage

_Pixels = TypeVar("_Pixels", RgbImage, Logits)

PAD_VALUE = 128
"""Grey that fills the canvas beside the photo; the networks learned with it."""


@dataclass(frozen=True)
class Letterbox:
    """Where a photo lies on a canvas: scaled evenly until it fits, centred, grey beside it."""

    original_hw: Hw
    scaled_hw: Hw
    pad_tl: Hw
    """(rows above, columns left) of padding."""
    canvas_hw: Hw

    @classmethod
    def fit(cls, hw: Hw, canvas_hw: Hw) -> Self:
        """Geometry for a photo of `hw`. No side shrinks below one pixel. ValueError for an empty size."""
        height, width = hw
        canvas_height, canvas_width = canvas_hw
        if min(height, width, canvas_height, canvas_width) < 1:
            raise ValueError(f"sizes must be at least 1 px: image {hw}, canvas {canvas_hw}")
        scale = min(canvas_height / height, canvas_width / width)
        scaled_height = min(canvas_height, max(1, round(height * scale)))
        scaled_width = min(canvas_width, max(1, round(width * scale)))
        pad_tl = ((canvas_height - scaled_height) // 2, (canvas_width - scaled_width) // 2)
        return cls(hw, (scaled_height, scaled_width), pad_tl, canvas_hw)

    def apply(self, image: RgbImage) -> Canvas:
        """(H, W, 3) uint8 of `original_hw` -> (h, w, 3) uint8 of `canvas_hw`."""
        if image.shape[:2] != self.original_hw:
            raise ValueError(f"image is {image.shape[:2]}, this letterbox is for {self.original_hw}")
        (top, left), (height, width) = self.pad_tl, self.scaled_hw
        canvas = np.full((*self.canvas_hw, 3), PAD_VALUE, np.uint8)
        canvas[top : top + height, left : left + width] = resize(image, self.scaled_hw)
        return canvas

    def crop(self, canvas_map: Logits) -> Logits:
        """(h, w) float32 of `canvas_hw` -> the photo's part of it, (h, w) float32 of `scaled_hw`; a view."""
        if canvas_map.shape != self.canvas_hw:
            raise ValueError(f"map is {canvas_map.shape}, this letterbox has a canvas of {self.canvas_hw}")
        (top, left), (height, width) = self.pad_tl, self.scaled_hw
        return canvas_map[top : top + height, left : left + width]

    def invert(self, canvas_map: Logits) -> Logits:
        """(h, w) float32 of `canvas_hw` -> (H, W) float32 of `original_hw`: padding cut off, then resized."""
        return resize(self.crop(canvas_map), self.original_hw)


def resize(array: _Pixels, hw: Hw) -> _Pixels:
    """Resize by area means when shrinking (no aliasing), bilinearly when growing."""
    if array.shape[:2] == hw:
        return array.copy()
    shrinks = hw[0] <= array.shape[0] and hw[1] <= array.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(array), hw[::-1], interpolation=interpolation).astype(array.dtype)
