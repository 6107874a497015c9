"""Where a photo lands on an output's canvas: numbers, no pixels. Boxes are left, top, right, bottom (exclusive)."""

import math
import re
from dataclasses import dataclass
from typing import TypeAlias

Box: TypeAlias = tuple[int, int, int, int]
Position: TypeAlias = tuple[float, float]
"""Shares of the free space to the left and above: (0.5, 0.5) is the middle."""

MAX_SIDE_PX = 10_000
MAX_MARGIN_PX = 500
MAX_MARGIN_SHARE = 0.5
MIN_FILL = 0.1


@dataclass(frozen=True)
class Size:
    """How large an output is; the first that is set counts, none keeps the photo's own pixels."""

    hw: tuple[int, int] | None = None
    longest_px: int | None = None
    max_megapixels: float | None = None


@dataclass(frozen=True)
class Length:
    """A margin: pixels of the photo, or a share of the product's side."""

    value: float
    is_share: bool

    def px(self, side_px: int) -> int:
        """In pixels of the photo."""
        return round(self.value * side_px) if self.is_share else round(self.value)


Margins: TypeAlias = tuple[Length, Length, Length, Length]
"""Top, right, bottom, left, as in CSS."""


@dataclass(frozen=True)
class Frame:
    """What is shown, and how large.

    `crop` shows the product's box and the margins around it instead of the whole photo. `fill` scales the product so
    that the larger one of box width / canvas width and box height / canvas height is this share; `position` moves it;
    either of the two leaves the photo's own framing.
    """

    size: Size = Size()
    crop: bool = False
    margins: Margins | None = None
    fill: float | None = None
    position: Position | None = None


@dataclass(frozen=True)
class Placement:
    """The part `source` of the photo is scaled to the box `target` of a canvas; the rest of the canvas is empty.

    `target` may reach over the canvas: what lies outside is cut off.
    """

    canvas_hw: tuple[int, int]
    source: Box
    target: Box

    @property
    def is_upscaled(self) -> bool:
        """Whether pixels are made up: the target is larger than its source."""
        source, target = self.source, self.target
        return target[2] - target[0] > source[2] - source[0] or target[3] - target[1] > source[3] - source[1]

    def landed(self, box: Box) -> Box | None:
        """Where a box of the photo lands on the canvas; None where nothing of it does."""
        x_scale = _width(self.target) / _width(self.source)
        y_scale = _height(self.target) / _height(self.source)
        height, width = self.canvas_hw
        left = max(0, math.floor((box[0] - self.source[0]) * x_scale + self.target[0]))
        top = max(0, math.floor((box[1] - self.source[1]) * y_scale + self.target[1]))
        right = min(width, math.ceil((box[2] - self.source[0]) * x_scale + self.target[0]))
        bottom = min(height, math.ceil((box[3] - self.source[1]) * y_scale + self.target[1]))
        return (left, top, right, bottom) if left < right and top < bottom else None

    @property
    def is_identity(self) -> bool:
        """Whether the output is the photo, pixel for pixel."""
        return self.source == self.target == (0, 0, self.canvas_hw[1], self.canvas_hw[0])


def place(photo_hw: tuple[int, int], product: Box | None, frame: Frame) -> Placement:
    """Lay a photo out. Without a `product` there is nothing to crop, fill or move: the whole photo is shown."""
    whole = (0, 0, photo_hw[1], photo_hw[0])
    region = _grow(product, frame.margins) if frame.crop and product is not None else whole
    canvas_hw, scale = _canvas(region, frame.size)
    subject = region
    if product is not None and (frame.fill is not None or frame.position is not None):
        subject = product
        if frame.fill is not None:
            scale = frame.fill * min(canvas_hw[1] / _width(product), canvas_hw[0] / _height(product))
    x_share, y_share = frame.position or (0.5, 0.5)
    left = (canvas_hw[1] - _width(subject) * scale) * x_share
    top = (canvas_hw[0] - _height(subject) * scale) * y_share
    shown = (max(region[0], 0), max(region[1], 0), min(region[2], whole[2]), min(region[3], whole[3]))
    if subject is not region:
        # Nothing of the photo is cut off but what does not land on the canvas.
        shown = _clip(whole, subject, canvas_hw, scale, (left, top))
    x0, x1 = (round((x - subject[0]) * scale + left) for x in (shown[0], shown[2]))
    y0, y1 = (round((y - subject[1]) * scale + top) for y in (shown[1], shown[3]))
    return Placement(canvas_hw, shown, (x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)))


def _clip(whole: Box, subject: Box, canvas_hw: tuple[int, int], scale: float, at: tuple[float, float]) -> Box:
    """The part of the photo that lands on the canvas, so that no more than that is scaled."""
    left = subject[0] - math.ceil(at[0] / scale) - 1
    top = subject[1] - math.ceil(at[1] / scale) - 1
    right = left + math.ceil(canvas_hw[1] / scale) + 3
    bottom = top + math.ceil(canvas_hw[0] / scale) + 3
    return max(left, whole[0]), max(top, whole[1]), min(right, whole[2]), min(bottom, whole[3])


def _canvas(region: Box, size: Size) -> tuple[tuple[int, int], float]:
    """The canvas, and the scale at which the region fits into it."""
    height, width = _height(region), _width(region)
    if size.hw is not None:
        return size.hw, min(size.hw[0] / height, size.hw[1] / width)
    scale = 1.0
    if size.longest_px is not None:
        scale = size.longest_px / max(height, width)
    elif size.max_megapixels is not None:
        scale = min(1.0, math.sqrt(size.max_megapixels * 1e6 / (height * width)))
        return (max(1, int(height * scale)), max(1, int(width * scale))), scale
    return (max(1, round(height * scale)), max(1, round(width * scale))), scale


def _grow(product: Box, margins: Margins | None) -> Box:
    if margins is None:
        return product
    top, right, bottom, left = margins
    width, height = _width(product), _height(product)
    return (
        product[0] - left.px(width),
        product[1] - top.px(height),
        product[2] + right.px(width),
        product[3] + bottom.px(height),
    )


def _width(box: Box) -> int:
    return box[2] - box[0]


def _height(box: Box) -> int:
    return box[3] - box[1]


def parse_size(text: str, *, max_megapixels: float) -> Size:
    """`original`, `WxH`, `longest:N` (pixels) or `megapixels:N` (at most that many). ValueError says what is wrong."""
    word = text.strip().lower()
    if word == "original":
        return Size()
    if found := re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", word):
        width, height = int(found[1]), int(found[2])
        if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX and width * height <= max_megapixels * 1e6):
            raise ValueError(f"sides are 1 to {MAX_SIDE_PX} pixels, and {max_megapixels:g} megapixels at most")
        return Size(hw=(height, width))
    if found := re.fullmatch(r"longest:([0-9]{1,5})", word):
        longest = int(found[1])
        most = int(min(MAX_SIDE_PX, math.sqrt(max_megapixels * 1e6)))
        if not 0 < longest <= most:
            raise ValueError(f"longest is 1 to {most} pixels")
        return Size(longest_px=longest)
    if found := re.fullmatch(r"megapixels:([0-9]{1,4}(?:\.[0-9]{1,4})?)", word):
        if not 0 < float(found[1]) <= max_megapixels:
            raise ValueError(f"megapixels is above 0 and at most {max_megapixels:g}")
        return Size(max_megapixels=float(found[1]))
    raise ValueError("size is original, WxH, longest:N or megapixels:N")


def parse_margins(text: str) -> Margins:
    """One, two or four lengths as in CSS, `20px`, `20` or `10%` of the product. ValueError."""
    lengths = [_length(word) for word in text.split()]
    match lengths:
        case [every]:
            return every, every, every, every
        case [vertical, horizontal]:
            return vertical, horizontal, vertical, horizontal
        case [top, right, bottom, left]:
            return top, right, bottom, left
    raise ValueError("margin is one, two or four lengths, such as 20px or 10%")


def _length(word: str) -> Length:
    found = re.fullmatch(r"([0-9]{1,4}(?:\.[0-9]{1,4})?)(px|%)?", word)
    if not found:
        raise ValueError(f"{word!r} is not a length: 20px or 10%")
    value = float(found[1])
    length = Length(value / 100, is_share=True) if found[2] == "%" else Length(value, is_share=False)
    if length.value > (MAX_MARGIN_SHARE if length.is_share else MAX_MARGIN_PX):
        raise ValueError(f"a margin is at most {MAX_MARGIN_PX} px or {MAX_MARGIN_SHARE:.0%}")
    return length


def parse_fill(text: str) -> float:
    """`10%` to `100%` as a share. ValueError."""
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,4})?)%", text.strip())
    if not found or not MIN_FILL <= float(found[1]) / 100 <= 1:
        raise ValueError("fill is 10% to 100%")
    return float(found[1]) / 100


def parse_position(text: str) -> Position | None:
    """`original` is None, `center`, `X%` (both ways) or `X% Y%`. ValueError."""
    word = text.strip().lower()
    if word == "original":
        return None
    if word == "center":
        return 0.5, 0.5
    found = re.fullmatch(r"([0-9]{1,3})%(?: ([0-9]{1,3})%)?", word)
    if not found:
        raise ValueError("position is original, center, X% or X% Y%")
    x, y = int(found[1]) / 100, int(found[2] or found[1]) / 100
    if max(x, y) > 1:
        raise ValueError("position is 0% to 100%")
    return x, y
