"""One look at a photo, or two: the second one mirrored, and closer where the first found the product.

A product that is small in its photo gets few pixels of the canvas. The second look shows the network the product's
surroundings alone, and mirrored; the two maps are averaged where both have something to say. It is test-time
augmentation whose second view is chosen by the first, as in zoom-in refinement of salient objects (Xu et al., "Locate
Globally, Segment Locally", AAAI 2021), for the price of one more forward pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self, TypeVar

import cv2
import numpy as np

from vision.arrays import Alpha, Canvas, Hw, Logits, Mask, RgbImage
from vision.letterbox import Letterbox, resize
from vision.numeric import sigmoid

_MARGIN = 0.3
"""Around the product, as a share of its longer side: what the first look missed may lie there."""
_SPECKS = 0.002
"""Share of the product's pixels that may lie beyond each side: scattered ones do not widen the view."""
_NEAREST = 4.0
"""A second look is at most so many times nearer than the first, and the whole photo if less than `_WORTH`."""
_WORTH = 1.1

_Result = TypeVar("_Result")
_Failure = TypeVar("_Failure")
_Failed_co = TypeVar("_Failed_co", covariant=True)


class Attempt(Protocol[_Failed_co]):
    """Takes a step; gives its result, or what stands for its failure."""

    def __call__(self, step: Callable[[], _Result], /) -> _Result | _Failed_co:
        """The step's result, or its failure."""


@dataclass(frozen=True)
class Prepared:
    """A photo, or a part of one, as the network sees it, and the way back."""

    canvas: Canvas
    letterbox: Letterbox


class Looks(Protocol):
    """What of a segmenter is needed to look at photos, see `vision.segmenters.unet.UnetSegmenter`."""

    @property
    def looks(self) -> int:
        """1 or 2."""

    def prepare(self, image: RgbImage) -> Prepared:
        """A photo as the network sees it."""

    def predict(self, canvases: Sequence[Canvas]) -> list[Logits]:
        """Logits of canvases, of the same size."""


@dataclass(frozen=True)
class View:
    """A rectangle of a photo's pixels."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def around(cls, product: Mask, hw: Hw) -> Self:
        """What a second look shows of a photo of `hw`, by the first look's mask of it (of any size)."""
        height, width = hw
        whole = cls(0, height, 0, width)
        if not product.any():
            return whole
        top, bottom = _extent(product.sum(1), height)
        left, right = _extent(product.sum(0), width)
        longest = max(height, width)
        margin = _MARGIN * max(bottom - top, right - left)
        margin = max(margin, (longest / _NEAREST - max(bottom - top, right - left)) / 2)
        view = cls(
            max(0, int(top - margin)),
            min(height, int(np.ceil(bottom + margin))),
            max(0, int(left - margin)),
            min(width, int(np.ceil(right + margin))),
        )
        return view if longest >= _WORTH * max(view.hw) else whole

    @property
    def hw(self) -> Hw:
        """Its size in pixels."""
        return self.bottom - self.top, self.right - self.left

    def of(self, image: RgbImage) -> RgbImage:
        """Its part of the photo."""
        return image[self.top : self.bottom, self.left : self.right]

    def average(self, first: Logits, second: Logits, hw: Hw) -> Logits:
        """The mean of both inside the view, `first` outside.

        first: (h, w) of the whole photo, whose size is `hw`; second: of the view, any size.
        """
        scale_y, scale_x = first.shape[0] / hw[0], first.shape[1] / hw[1]
        top, bottom = self.top * scale_y, self.bottom * scale_y
        left, right = self.left * scale_x, self.right * scale_x
        size = (max(1, round(bottom - top)), max(1, round(right - left)))
        inside = np.s_[round(top) : round(bottom), round(left) : round(right)]
        # Shrunk by area means, then moved by what is missing to whole pixels.
        to_second = np.array(
            [
                [size[1] / (right - left), 0, (round(left) + 0.5 - left) * size[1] / (right - left) - 0.5],
                [0, size[0] / (bottom - top), (round(top) + 0.5 - top) * size[0] / (bottom - top) - 0.5],
            ]
        )
        averaged = first.copy()
        part = averaged[inside]
        if part.size:
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            moved = cv2.warpAffine(
                resize(second, size), to_second, part.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE
            )
            part += moved.astype(np.float32)
            part /= 2
        return averaged


def look_at(
    segmenter: Looks,
    photos: Sequence[tuple[RgbImage, Prepared]],
    predict: Callable[[Sequence[Canvas]], Sequence[Logits | _Failure]],
    attempt: Attempt[_Failure],
) -> list[Logits | _Failure]:
    """Photos, with their first view prepared -> logits of each, (h, w) float32 without padding; same order.

    `predict` takes canvases, all at once, and gives logits of them; `attempt` takes one photo's step. What they give
    in place of a result is that photo's, and the others go on.
    """
    found = _predict([prepared for _, prepared in photos], predict)
    if segmenter.looks == 1:
        return found
    seconds: dict[int, _Second] = {}
    for n, (first, (image, _)) in enumerate(zip(found, photos, strict=True)):
        if isinstance(first, np.ndarray):
            second = attempt(partial(_Second.of, segmenter, image, first))
            if isinstance(second, _Second):
                seconds[n] = second
            else:
                found[n] = second
    maps = _predict([second.prepared for second in seconds.values()], predict)
    for (n, second), logits in zip(seconds.items(), maps, strict=True):
        found[n] = attempt(partial(second.average, logits)) if isinstance(logits, np.ndarray) else logits
    return found


def looked_at(segmenter: Looks, photos: Sequence[tuple[RgbImage, Prepared]]) -> list[Logits]:
    """As `look_at`; a failure is raised."""
    return look_at(segmenter, photos, segmenter.predict, lambda step: step())


def segment_unrefined(segmenter: Looks, images: Sequence[RgbImage]) -> list[Alpha]:
    """Alphas (H, W) at the photos' sizes: logits are upsampled, not alpha."""
    photos = [(image, segmenter.prepare(image)) for image in images]
    found = looked_at(segmenter, photos)
    return [sigmoid(resize(logits, _hw(image))) for logits, image in zip(found, images, strict=True)]


def _predict(
    views: Sequence[Prepared], predict: Callable[[Sequence[Canvas]], Sequence[Logits | _Failure]]
) -> list[Logits | _Failure]:
    found = predict([view.canvas for view in views])
    return [
        view.letterbox.crop(logits) if isinstance(logits, np.ndarray) else logits
        for view, logits in zip(views, found, strict=True)
    ]


@dataclass(frozen=True)
class _Second:
    """What a photo's second look sees."""

    first: Logits
    hw: Hw
    view: View
    prepared: Prepared

    @classmethod
    def of(cls, segmenter: Looks, image: RgbImage, first: Logits) -> Self:
        """By the first look's logits."""
        view = View.around(first > 0, _hw(image))
        return cls(first, _hw(image), view, _mirrored(segmenter.prepare(view.of(image))))

    def average(self, second: Logits) -> Logits:
        """Of both looks, turned back."""
        return self.view.average(self.first, second[:, ::-1], self.hw)


def _mirrored(view: Prepared) -> Prepared:
    """The canvas mirrored, as a view whose logits are mirrored too."""
    box = view.letterbox
    right = box.canvas_hw[1] - box.scaled_hw[1] - box.pad_tl[1]
    mirrored = Letterbox(box.original_hw, box.scaled_hw, (box.pad_tl[0], right), box.canvas_hw)
    return Prepared(np.ascontiguousarray(view.canvas[:, ::-1]), mirrored)


def _extent(counts: np.ndarray, side: int) -> tuple[float, float]:
    """First and last pixel of the product along an axis of `side` pixels, by its pixels per row (or column)."""
    below = np.cumsum(counts) / counts.sum()
    first = int(np.searchsorted(below, _SPECKS, side="right"))
    last = int(np.searchsorted(below, 1 - _SPECKS, side="left"))
    return first * side / len(counts), (last + 1) * side / len(counts)


def _hw(image: RgbImage) -> Hw:
    return image.shape[0], image.shape[1]
