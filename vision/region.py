"""A region of interest: the only part of a photo in which something can be product."""

import re
from dataclasses import dataclass
from typing import TypeAlias

from vision.errors import ImageError
from vision.frame import Box

_NUMBER = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,4})?)(px|%)?")
_WHOLE = 100.0


@dataclass(frozen=True)
class Place:
    """A distance from the left or upper edge: pixels of the upright photo, or a share of its side."""

    value: float
    is_share: bool

    def px(self, side_px: int) -> int:
        """In pixels of the photo."""
        return round(self.value * side_px) if self.is_share else round(self.value)


Region: TypeAlias = tuple[Place, Place, Place, Place]
"""Left, top, right, bottom."""


def parse_region(text: str) -> Region:
    """`x1 y1 x2 y2`, each `10`, `10px` or `10%`, of the upper left and the lower right corner. ValueError."""
    words = text.split()
    if len(words) != len(("left", "top", "right", "bottom")):
        raise ValueError("a region is x1 y1 x2 y2, in px or %")
    left, top, right, bottom = (_place(word) for word in words)
    return left, top, right, bottom


def _place(word: str) -> Place:
    found = _NUMBER.fullmatch(word)
    if found is None:
        raise ValueError(f"{word!r} is no distance: 10px or 10%")
    if found[2] != "%":
        return Place(float(found[1]), is_share=False)
    if float(found[1]) > _WHOLE:
        raise ValueError("a region ends at 100%")
    return Place(float(found[1]) / _WHOLE, is_share=True)


def locate(region: Region, photo_hw: tuple[int, int]) -> Box:
    """The region in pixels of an upright photo.

    `ImageError`: `roi_exceeds_bounds` where it reaches over the photo, `roi_region_empty` where it has no pixel.
    """
    height, width = photo_hw
    left, top, right, bottom = (place.px(side) for place, side in zip(region, 2 * (width, height), strict=True))
    if max(left, right) > width or max(top, bottom) > height:
        raise ImageError("roi_exceeds_bounds", f"The region of interest reaches over the photo, {width}x{height}.")
    if left >= right or top >= bottom:
        raise ImageError("roi_region_empty", "The region of interest has no pixel: x1 < x2 and y1 < y2.")
    return left, top, right, bottom
