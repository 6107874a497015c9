"""Bring a network's coarse logits to the photo's own resolution, with edges that follow the photo.

Inside the edge band every pixel is explained by the local colours of sure product and sure background: alpha is its
place on the line between the two means, measured in their pooled covariance (Fisher's discriminant; a local colour line
as in Levin et al., "A Closed-Form Solution to Natural Image Matting", 2008, with known ends as in Wang and Cohen,
"Optimized Color Sampling for Robust Matting", 2007). Where the two colours are hardly apart, the upsampled logits
decide. The coefficients are found on a shrunken photo and applied to the native one, as in He and Sun, "Fast Guided
Filter", 2015.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import Alpha, Logits, Mask, RgbImage
from vision.bands import Bands, Maps, box_mean
from vision.colour_line import Terms, colour_line, mean_moments
from vision.compiled import compiled
from vision.numeric import sigmoid


@dataclass(frozen=True)
class RefineOptions:
    """How far and how firmly the photo may move an edge. Lengths are in pixels of the logits."""

    middle_per_coarse: float = 2.0
    """Middle pixels per pixel of the logits: the resolution of the colour statistics."""
    sure: float = 0.9
    """Alpha above it (or below 1 - it) is taken as a sample of product (or background)."""
    erode: float = 0.5
    """Samples this near to the transition are left out: the network's edge is off by about as much."""
    radius: float = 1.6
    """Reach of the samples; a window twice as far helps where the near one is empty."""
    far_weight: float = 0.05
    whole_weight: float = 0.0003
    """Of the colours of the whole product: for strands far from any sure pixel. Background must be near, or the
    inside of a product that the network doubts would be compared with a background it has nothing to do with."""
    noise: float = 6.0
    """Standard deviation, in 8-bit steps, that every colour has at least."""
    trust: float = 30.0
    """Squared distance of the two colours, in standard deviations, at which photo and network weigh the same."""
    floor: float = 0.06
    """Alpha of the network below it is 0, above 1 - floor is 1; fixed, never stretched to a photo's own range."""


DEFAULT_REFINE = RefineOptions()


def refine(image: RgbImage, coarse: Logits, options: RefineOptions = DEFAULT_REFINE) -> Alpha:
    """Alpha at native resolution from logits that cover the same photo without padding (`Letterbox.crop`).

    image: (H, W, 3) uint8. coarse: (h, w) float32 of any smaller or equal size. Returns (H, W) float32 in steps of
    1/65535 (what a 16-bit matte can hold): exactly 1 inside and exactly 0 outside of the edge band. Beside its result
    it needs memory for the middle resolution (twice that of the logits) and one tile.
    """
    native_hw, coarse_hw = image.shape[:2], coarse.shape
    coarse_px = max(native_hw[0] / coarse_hw[0], native_hw[1] / coarse_hw[1])
    factor = max(1, min(round(coarse_px / options.middle_per_coarse), *native_hw))
    # A photo of a few pixels' width can't be shrunk as far as its length asks for; there statistics reach less far.
    unit = min(coarse_px / factor, 2 * options.middle_per_coarse)
    radius = max(1, round(options.radius * unit))
    bands = Bands((native_hw[0], native_hw[1]), factor, 2 * radius + 2)

    logits = _middle_logits(coarse, bands)
    alpha = sigmoid(logits)
    product, ground = _sure_masks(alpha, unit, options)
    band = ~(product | ground) & (alpha > options.floor / 2) & (alpha < 1 - options.floor / 2)
    band = cv2.dilate(band.astype(np.uint8), _ellipse(1.5 * unit)).astype(np.bool_)
    colours = bands.shrink(image) / np.float32(255)
    weights = np.stack([_sample_weight(product, alpha), _sample_weight(ground, 1 - alpha)], axis=-1)
    whole = mean_moments(colours, weights[..., 0]) * np.float32(options.whole_weight)
    terms = Terms(options.far_weight, (options.noise / 255) ** 2, options.trust)
    padded = bands.pad(np.concatenate([colours, weights, logits[..., None]], axis=-1))
    # Beyond the band the colours' say fades to nothing, so that no seam shows.
    say = bands.pad(box_mean(band.astype(np.float32), max(1, round(unit / 2))))

    out = np.empty(native_hw, np.float32)
    undecided = band | ((alpha > options.floor) & (alpha < 1 - options.floor))
    for tile, wanted in bands.tiles(undecided):
        if not wanted:
            out[tile.native] = np.float32(alpha[tile.core][0, 0] > 0.5)  # noqa: PLR2004
            continue
        line = colour_line(padded[tile.middle], say[tile.middle], whole, radius, terms)
        _blend(image[tile.native], line, factor, np.float32(options.floor), out[tile.native])
    return out


def _middle_logits(coarse: Logits, bands: Bands) -> Logits:
    """Upsample logits, not alpha: their zero line stays where it is and the edge stays sharp."""
    height, width = bands.middle_hw
    step_y = bands.factor * coarse.shape[0] / bands.native_hw[0]
    step_x = bands.factor * coarse.shape[1] / bands.native_hw[1]
    to_coarse = np.array([[step_x, 0, step_x / 2 - 0.5], [0, step_y, step_y / 2 - 0.5]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(coarse, to_coarse, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return moved.astype(np.float32)


def _sure_masks(alpha: Alpha, unit: float, options: RefineOptions) -> tuple[Mask, Mask]:
    kernel = _ellipse(options.erode * unit)
    product, ground = (
        cv2.erode(sure.astype(np.uint8), kernel).astype(np.bool_)
        for sure in (alpha > options.sure, alpha < 1 - options.sure)
    )
    return product, ground


def _ellipse(radius: float) -> NDArray[np.uint8]:
    side = 2 * round(radius) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).astype(np.uint8)


def _sample_weight(sure: Mask, alpha: Alpha) -> Alpha:
    """Sure pixels count fully; likely ones a little, so that thin parts without a sure pixel have a colour too."""
    squared = alpha * alpha
    likely = np.where(alpha > 0.5, squared * squared, 0)  # noqa: PLR2004
    return (sure + np.float32(0.02) * likely).astype(np.float32)


@compiled
def _blend(image: RgbImage, line: Maps, factor: int, floor: np.float32, alpha: Alpha) -> None:
    """Fill the native `alpha` of a tile from its photo and `colour_line`'s maps, which are grown bilinearly."""
    one, level, step = np.float32(1), np.float32(1 / 255), np.float32(1 / 65535)
    gain = one / (one - floor - floor)
    # Beyond these logits the network alone says 0 or 1.
    certain = np.log((one - floor) / floor)
    row = np.empty((line.shape[1], 6), np.float32)
    for y in range(alpha.shape[0]):
        middle_y = (y + np.float32(0.5)) / factor + np.float32(0.5)
        top = int(middle_y)
        lower = np.float32(middle_y - top)
        for x in range(line.shape[1]):
            for place in range(6):
                row[x, place] = line[top, x, place] + lower * (line[top + 1, x, place] - line[top, x, place])
        for x in range(alpha.shape[1]):
            middle_x = (x + np.float32(0.5)) / factor + np.float32(0.5)
            left = int(middle_x)
            right = np.float32(middle_x - left)
            weight = row[left, 4] + right * (row[left + 1, 4] - row[left, 4])
            logit = row[left, 5] + right * (row[left + 1, 5] - row[left, 5])
            if weight == 0 and abs(logit) >= certain:
                alpha[y, x] = one if logit > 0 else np.float32(0)
                continue
            on_line = row[left, 3] + right * (row[left + 1, 3] - row[left, 3])
            for channel in range(3):
                slope = row[left, channel] + right * (row[left + 1, channel] - row[left, channel])
                on_line += slope * (image[y, x, channel] * level)
            prior = one / (one + np.exp(-min(max(logit, np.float32(-30)), np.float32(30))))
            mixed = (min(max(on_line, np.float32(0)), weight) + prior * (one - weight) - floor) * gain
            alpha[y, x] = np.rint(min(max(mixed, np.float32(0)), one) * np.float32(65535)) * step
