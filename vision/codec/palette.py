"""At most 256 colours with alpha for a picture, and the picture in them.

Colours are weighed as they are seen: premultiplied, so that a faint pixel's colour counts little. They are split where
they differ most (Wu, "Efficient Statistical Computations for Optimal Color Quantization", 1991, on a histogram), then
moved to the means of what is nearest to them (Lloyd's algorithm), and the picture is dithered (Floyd and Steinberg,
1976; three quarters of the error). Three things are exact and never dithered: alpha 0, full alpha, and the background.
"""

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vision.arrays import Mask, RgbaImage
from vision.compiled import compiled

MAX_COLOURS: Final = 256
_OPAQUE: Final = 255
_ROUNDS: Final = 4
_FEWEST_EDGE: Final = 32
"""Entries that soft edges get, if they have so many colours: few pixels, but those that are looked at."""
_MOST_EDGE: Final = 96
_SPREAD: Final = np.float32(0.75 / 16)
"""Three quarters of what a pixel is off by go on: with all of it, noise that is there already grows."""

Entries: TypeAlias = NDArray[np.float32]
"""(n, 4): premultiplied red, green, blue, and alpha; 0 to 255."""


def quantise(rgba: RgbaImage, background: Mask) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(H, W, 4) uint8 straight alpha -> indices (H, W) uint8 and palette (n, 4) uint8, n <= 256.

    Pixels of `background`, all of one colour, keep it exactly, as do alpha 0 (it must be 0, 0, 0, 0) and alpha 255.
    Pictures of up to 256 colours come back as they are.
    """
    exact = np.zeros((MAX_COLOURS, 4), np.uint8)
    indices = np.empty(rgba.shape[:2], np.uint8)
    count = _exactly(rgba, exact, indices)
    if count:
        return indices, exact[:count]
    opaque, soft = _histogram(rgba, background)
    kept = _kept(rgba, background)
    room = MAX_COLOURS - len(kept)
    for_edges = _share(len(soft), int(soft[:, 0].sum()), int(opaque[:, 0].sum()), room)
    edges = _choose(soft, for_edges)
    solid = _choose(opaque, room - len(edges))
    palette = np.concatenate([kept, _straight(edges), _straight(solid)])
    seen = palette * np.column_stack([palette[:, [3, 3, 3]] / 255, np.ones(len(palette))])
    _assign(rgba, background, palette, seen.astype(np.float32), len(kept), len(kept) + len(edges), indices)
    return indices, palette


def _kept(rgba: RgbaImage, background: Mask) -> NDArray[np.uint8]:
    """Colours that pixels are never dithered to or from: nothing at all, and the background's."""
    colours = []
    if (rgba[..., 3] == 0).any():
        colours.append((0, 0, 0, 0))
    if background.any():
        colours.append(tuple(rgba[np.unravel_index(np.argmax(background), background.shape)]))
    return np.unique(np.array(colours, np.uint8).reshape(-1, 4), axis=0)


def _share(kinds: int, soft_px: int, opaque_px: int, room: int) -> int:
    """How many entries soft edges get: more than their pixels would, for they are looked at."""
    if not opaque_px:
        return min(kinds, room)
    by_root = room * math.sqrt(soft_px) / (math.sqrt(soft_px) + math.sqrt(opaque_px))
    return min(kinds, max(_FEWEST_EDGE, min(_MOST_EDGE, round(by_root))))


def _straight(entries: Entries) -> NDArray[np.uint8]:
    alpha = np.maximum(entries[:, 3:], 1)
    colours = entries[:, :3] * np.float32(_OPAQUE) / alpha
    straight: NDArray[np.uint8] = np.clip(np.rint(np.column_stack([colours, alpha])), 0, 255).astype(np.uint8)
    return straight


def _choose(bins: NDArray[np.float64], count: int) -> Entries:
    """Up to `count` colours for bins of (pixels, sums of the premultiplied channels and alpha)."""
    if not len(bins) or count <= 0:
        return np.empty((0, 4), np.float32)
    weights, colours = bins[:, 0], (bins[:, 1:] / bins[:, :1]).astype(np.float32)
    entries = _split(weights, colours, count)
    for _ in range(_ROUNDS):
        sums = np.zeros((len(entries), 5))
        _gather(colours, weights, entries, sums)
        used = sums[:, 0] > 0
        entries[used] = (sums[used, 1:] / sums[used, :1]).astype(np.float32)
    return entries


def _split(weights: NDArray[np.float64], colours: Entries, count: int) -> Entries:
    """Means of the boxes that arise when the box with the largest error is split again and again."""
    boxes = [np.arange(len(weights))]
    facts = [_facts(weights, colours, boxes[0])]
    while len(boxes) < count:
        worst = max(range(len(boxes)), key=lambda number: facts[number][0])
        error, axis, mean = facts[worst]
        if error <= 0:
            break
        box = boxes[worst]
        is_low = colours[box, axis] <= mean[axis]
        boxes[worst], other = box[is_low], box[~is_low]
        boxes.append(other)
        facts[worst] = _facts(weights, colours, boxes[worst])
        facts.append(_facts(weights, colours, other))
    return np.array([mean for _, _, mean in facts], np.float32)


def _facts(
    weights: NDArray[np.float64], colours: Entries, box: NDArray[np.intp]
) -> tuple[float, int, NDArray[np.float64]]:
    """Squared error of a box, the channel with the most of it, and the mean."""
    weight, inside = weights[box], colours[box].astype(np.float64)
    mean = weight @ inside / weight.sum()
    errors = weight @ (inside - mean) ** 2
    axis = int(np.argmax(errors))
    # Where all are alike, rounding may leave a trace of an error, and nothing to split.
    is_flat = bool((inside[:, axis] <= mean[axis]).all()) or bool((inside[:, axis] > mean[axis]).all())
    return (0.0 if is_flat else float(errors.sum())), axis, mean


@compiled
def _exactly(rgba: RgbaImage, palette: NDArray[np.uint8], indices: NDArray[np.uint8]) -> int:
    """Fill palette and indices if 256 entries are enough; how many were used, 0 where they are not."""
    slots = np.full(1024, -1, np.int16)
    colours = np.zeros(256, np.int64)
    count = 0
    for y in range(rgba.shape[0]):
        for x in range(rgba.shape[1]):
            red, green, blue = np.int64(rgba[y, x, 0]), np.int64(rgba[y, x, 1]), np.int64(rgba[y, x, 2])
            colour = (red << 24) | (green << 16) | (blue << 8) | np.int64(rgba[y, x, 3])
            slot = (colour * 2654435761 >> 12) & 1023
            while slots[slot] >= 0 and colours[slots[slot]] != colour:
                slot = (slot + 1) & 1023
            if slots[slot] < 0:
                if count == 256:  # noqa: PLR2004
                    return 0
                slots[slot] = count
                colours[count] = colour
                for channel in range(4):
                    palette[count, channel] = rgba[y, x, channel]
                count += 1
            indices[y, x] = slots[slot]
    return count


def _histogram(rgba: RgbaImage, background: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bins that occur, (n, 5) as `_choose` takes them: of opaque pixels, of soft ones; no background, no alpha 0."""
    opaque, soft = np.zeros((1 << 15, 5)), np.zeros((1 << 16, 5))
    _count(rgba, background, opaque, soft)
    return opaque[opaque[:, 0] > 0], soft[soft[:, 0] > 0]


@compiled
def _count(rgba: RgbaImage, background: Mask, opaque: NDArray[np.float64], soft: NDArray[np.float64]) -> None:
    """Five bits of each channel for opaque pixels, four of each channel and alpha for the others."""
    for y in range(rgba.shape[0]):
        for x in range(rgba.shape[1]):
            alpha = np.int64(rgba[y, x, 3])
            if alpha == 0 or background[y, x]:
                continue
            red, green, blue = np.int64(rgba[y, x, 0]), np.int64(rgba[y, x, 1]), np.int64(rgba[y, x, 2])
            if alpha == 255:  # noqa: PLR2004
                at = (red >> 3) << 10 | (green >> 3) << 5 | (blue >> 3)
                bins = opaque
            else:
                at = (red >> 4) << 12 | (green >> 4) << 8 | (blue >> 4) << 4 | (alpha >> 4)
                bins = soft
            bins[at, 0] += 1
            bins[at, 1] += red * alpha / 255.0
            bins[at, 2] += green * alpha / 255.0
            bins[at, 3] += blue * alpha / 255.0
            bins[at, 4] += alpha


@compiled
def _gather(colours: Entries, weights: NDArray[np.float64], entries: Entries, sums: NDArray[np.float64]) -> None:
    """Add each bin to the entry that is nearest to it."""
    for number in range(colours.shape[0]):
        best, least = 0, np.float32(1e30)
        for entry in range(entries.shape[0]):
            far = np.float32(0)
            for channel in range(4):
                step = colours[number, channel] - entries[entry, channel]
                far += step * step
            if far < least:
                best, least = entry, far
        sums[best, 0] += weights[number]
        for channel in range(4):
            sums[best, channel + 1] += weights[number] * colours[number, channel]


@compiled
def _kept_entry(palette: NDArray[np.uint8], count: int, pixel: NDArray[np.uint8]) -> int:
    """The kept entry of a pixel that is not dithered; all of alpha 0 are one."""
    for entry in range(count):
        if palette[entry, 3] == pixel[3] and (
            pixel[3] == 0
            or (palette[entry, 0] == pixel[0] and palette[entry, 1] == pixel[1] and palette[entry, 2] == pixel[2])
        ):
            return entry
    return 0


@compiled
def _nearest(seen: Entries, start: int, stop: int, wanted: NDArray[np.float32]) -> int:
    best, least = start, np.float32(1e30)
    for entry in range(start, stop):
        far = np.float32(0)
        for channel in range(4):
            step = wanted[channel] - seen[entry, channel]
            far += step * step
        if far < least:
            best, least = entry, far
    return best


@compiled
def _look_up(
    seen: Entries,
    first_soft: int,
    first_solid: int,
    wanted: NDArray[np.float32],
    soft: NDArray[np.int16],
    solid: NDArray[np.int16],
) -> int:
    """The nearest entry, by six bits of each channel (five of each and four of alpha for soft pixels), kept."""
    red, green, blue = np.int64(wanted[0]), np.int64(wanted[1]), np.int64(wanted[2])
    if wanted[3] == 255:  # noqa: PLR2004
        at = (red >> 2) << 12 | (green >> 2) << 6 | (blue >> 2)
        if solid[at] < 0:
            solid[at] = _nearest(seen, first_solid, seen.shape[0], wanted)
        return int(solid[at])
    at = (red >> 3) << 14 | (green >> 3) << 9 | (blue >> 3) << 4 | (np.int64(wanted[3]) >> 4)
    if soft[at] < 0:
        soft[at] = _nearest(seen, first_soft, first_solid, wanted)
    return int(soft[at])


@compiled
def _assign(
    rgba: RgbaImage,
    background: Mask,
    palette: NDArray[np.uint8],
    seen: Entries,
    first_soft: int,
    first_solid: int,
    indices: NDArray[np.uint8],
) -> None:
    """Write the entry of each pixel; what it is off by goes on to the neighbours that come later.

    palette: kept entries, those of soft edges, those of opaque pixels; seen: the same, premultiplied.
    """
    solid, soft = np.full(1 << 18, -1, np.int16), np.full(1 << 19, -1, np.int16)
    errors = np.zeros((2, rgba.shape[1] + 2, 4), np.float32)
    wanted = np.zeros(4, np.float32)
    for y in range(rgba.shape[0]):
        here, below = y & 1, 1 - (y & 1)
        errors[below, :, :] = 0
        for x in range(rgba.shape[1]):
            alpha = rgba[y, x, 3]
            if alpha == 0 or background[y, x]:
                indices[y, x] = _kept_entry(palette, first_soft, rgba[y, x])
                continue
            part = np.float32(alpha) / np.float32(255)
            for channel in range(3):
                level = rgba[y, x, channel] * part + errors[here, x + 1, channel]
                wanted[channel] = min(max(level, np.float32(0)), np.float32(255))
            wanted[3] = np.float32(255)
            if alpha < 255:  # noqa: PLR2004
                wanted[3] = min(max(np.float32(alpha) + errors[here, x + 1, 3], np.float32(1)), np.float32(254))
            entry = _look_up(seen, first_soft, first_solid, wanted, soft, solid)
            indices[y, x] = entry
            for channel in range(4):
                off = (wanted[channel] - seen[entry, channel]) * _SPREAD
                errors[here, x + 2, channel] += off * 7
                errors[below, x, channel] += off * 3
                errors[below, x + 1, channel] += off * 5
                errors[below, x + 2, channel] += off
