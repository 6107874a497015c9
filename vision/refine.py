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
from vision.numeric import in_8bit_steps, sigmoid


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
    1/255 (what an 8-bit matte can hold): exactly 1 inside and exactly 0 outside of the edge band. Beside its result
    it needs memory for the middle resolution (twice that of the logits) and one tile.
    """
    native_hw, coarse_hw = image.shape[:2], coarse.shape
    coarse_px = max(native_hw[0] / coarse_hw[0], native_hw[1] / coarse_hw[1])
    factor = max(1, min(round(coarse_px / options.middle_per_coarse), *native_hw))
    unit = coarse_px / factor
    radius = max(1, round(options.radius * unit))
    bands = Bands((native_hw[0], native_hw[1]), factor, 2 * radius + 2)

    logits = _middle_logits(coarse, bands)
    alpha = sigmoid(logits)
    product, ground = _sure_masks(alpha, unit, options)
    band = ~(product | ground) & (alpha > options.floor / 2) & (alpha < 1 - options.floor / 2)
    band = cv2.dilate(band.astype(np.uint8), _ellipse(1.5 * unit)).astype(np.bool_)
    colours = bands.shrink(image) / np.float32(255)
    weights = np.stack([_sample_weight(product, alpha), _sample_weight(ground, 1 - alpha)], axis=-1)
    whole = _whole(colours, weights[..., 0]) * np.float32(options.whole_weight)
    padded = bands.pad(np.concatenate([colours, weights, logits[..., None]], axis=-1))
    # Beyond the band the colours' say fades to nothing, so that no seam shows.
    say = bands.pad(box_mean(band.astype(np.float32), max(1, round(unit / 2))))

    out = np.empty(native_hw, np.float32)
    undecided = band | ((alpha > options.floor) & (alpha < 1 - options.floor))
    for tile, wanted in bands.tiles(undecided):
        if not wanted:
            out[tile.native] = np.float32(alpha[tile.core][0, 0] > 0.5)  # noqa: PLR2004
            continue
        maps = padded[tile.middle]
        line = _colour_line(maps[..., :3], maps[..., 3], maps[..., 4], whole, radius, options)
        line *= say[tile.middle][..., None]
        grown = bands.grow(np.concatenate([line, maps[..., 5:]], axis=-1), tile)
        out[tile.native] = _blend(image[tile.native], grown, options.floor)
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


def _colour_line(
    colours: Maps, product: Alpha, ground: Alpha, whole: Maps, radius_px: int, options: RefineOptions
) -> Maps:
    """(h, w, 5): a, b, weight with weight * alpha = a . I + b for colours I in [0, 1]; weight is in [0, 1]."""
    features = _features(colours)
    far = np.float32(options.far_weight)
    mean_f, cov_f, found_f = _moments(features * product[..., None], whole, radius_px, far)
    mean_b, cov_b, found_b = _moments(features * ground[..., None], np.zeros_like(whole), radius_px, far)
    apart = mean_f - mean_b
    direction = _solve(0.5 * (cov_f + cov_b), np.float32((options.noise / 255) ** 2), apart)
    distance2 = np.maximum((direction * apart).sum(-1), 1e-6)
    weight = distance2 / (distance2 + options.trust) * (found_f & found_b)
    # One standard deviation at either end is noise of a pure colour, not mixture.
    slack = np.minimum(1 / np.sqrt(distance2), 0.25)
    scale = weight / (1 - 2 * slack)
    a = direction * (scale / distance2)[..., None]
    b = -(a * mean_b).sum(-1) - slack * scale
    line: Maps = np.concatenate([a, b[..., None], weight[..., None]], axis=-1).astype(np.float32)
    return line


def _features(colours: Maps) -> Maps:
    """(h, w, 3) -> (h, w, 10): 1, the colours and their six products, whose means are moments."""
    ones = np.ones((*colours.shape[:2], 1), np.float32)
    products = colours[..., [0, 0, 0, 1, 1, 2]] * colours[..., [0, 1, 2, 1, 2, 2]]
    return np.concatenate([ones, colours, products], axis=-1)


def _whole(colours: Maps, weights: Alpha) -> Maps:
    """(10,) moments of all samples of a class, from every fourth pixel each way; zeros when there is none."""
    features = _features(colours[::4, ::4]) * weights[::4, ::4, None]
    sums: Maps = features.sum((0, 1), dtype=np.float64).astype(np.float32)
    mean: Maps = sums / np.maximum(sums[0], np.float32(1e-6))
    return mean


def _moments(weighted: Maps, whole: Maps, radius_px: int, far_weight: np.float32) -> tuple[Maps, Maps, Mask]:
    sums = box_mean(weighted, radius_px) + far_weight * box_mean(weighted, 2 * radius_px) + whole
    count = sums[..., :1]
    scaled = sums[..., 1:] / np.maximum(count, 1e-6)
    mean = scaled[..., :3]
    cov = scaled[..., 3:] - mean[..., [0, 0, 0, 1, 1, 2]] * mean[..., [0, 1, 2, 1, 2, 2]]
    return mean, cov, count[..., 0] > 1e-4  # noqa: PLR2004


def _solve(cov: Maps, ridge: np.float32, right: Maps) -> Maps:
    """Solution x of (cov + ridge * identity) x = right per pixel; cov as (xx, xy, xz, yy, yz, zz), by cofactors."""
    xx, xy, xz, yy, yz, zz = np.moveaxis(cov, -1, 0)
    xx, yy, zz = xx + ridge, yy + ridge, zz + ridge
    c_xx, c_xy, c_xz = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    c_yy, c_yz, c_zz = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
    # Rounding can push the determinant of a nearly flat covariance under what the ridge alone gives.
    determinant = np.maximum(xx * c_xx + xy * c_xy + xz * c_xz, ridge**3)
    r, g, b = np.moveaxis(right, -1, 0)
    rows = (c_xx * r + c_xy * g + c_xz * b, c_xy * r + c_yy * g + c_yz * b, c_xz * r + c_yz * g + c_zz * b)
    solved: Maps = np.stack(rows, axis=-1) / determinant[..., None]
    return solved


def _blend(image: RgbImage, grown: Maps, floor: float) -> Alpha:
    """Native alpha of a tile from its photo and the grown maps (a, b, weight, logits)."""
    weight = grown[..., 4]
    prior = sigmoid(grown[..., 5])
    pixels = image * np.float32(1 / 255)
    on_line = cv2.transform(pixels * grown[..., :3], np.ones((1, 3), np.float32)) + grown[..., 3]
    alpha = (np.clip(on_line, 0, weight) + prior * (1 - weight) - floor) / (1 - 2 * floor)
    return in_8bit_steps(alpha)
