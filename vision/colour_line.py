"""The line between the local colours of product and ground, on which a mixed pixel's place is its alpha."""

from dataclasses import dataclass

import numpy as np

from vision.arrays import Alpha
from vision.bands import Maps, box_mean
from vision.compiled import compiled

_MOMENTS = 10
"""1, the three colours and their six products."""


@dataclass(frozen=True)
class Terms:
    """Of the fit; see `vision.refine.RefineOptions`."""

    far_weight: float
    ridge: float
    """Variance that every colour has at least, colours in [0, 1]."""
    trust: float


def colour_line(maps: Maps, say: Alpha, whole: Maps, radius_px: int, terms: Terms) -> Maps:
    """(h, w, 6): a, b, weight, logits with weight * alpha = a . I + b for colours I in [0, 1]; weight is in [0, 1].

    maps: (h, w, 6) float32 colours in [0, 1], sample weights of product and of ground, logits, with the margin of a
    tile, of which one pixel remains; say: (h, w) how far colours are heard, 0 to 1; whole: (10,) moments of the whole
    product, already weighted; the samples reach `radius_px`, and faintly twice as far.
    """
    weighted = np.empty((*say.shape, 2 * _MOMENTS), np.float32)
    _weigh(maps, weighted)
    near, far = box_mean(weighted, radius_px), box_mean(weighted, 2 * radius_px)
    cut = 2 * radius_px + 1
    line = np.empty((say.shape[0] - 2 * cut, say.shape[1] - 2 * cut, 6), np.float32)
    _fit_lines(
        near,
        far,
        whole,
        say,
        maps,
        cut,
        np.float32(terms.far_weight),
        np.float32(terms.ridge),
        np.float32(terms.trust),
        line,
    )
    return line


@compiled
def _weigh(maps: Maps, weighted: Maps) -> None:
    """Fill (h, w, 20): the ten moments of `_features`, weighted for product, then weighted for ground."""
    for y in range(maps.shape[0]):
        for x in range(maps.shape[1]):
            r, g, b = maps[y, x, 0], maps[y, x, 1], maps[y, x, 2]
            for side in range(2):
                weight = maps[y, x, 3 + side]
                first = side * _MOMENTS
                weighted[y, x, first] = weight
                weighted[y, x, first + 1] = weight * r
                weighted[y, x, first + 2] = weight * g
                weighted[y, x, first + 3] = weight * b
                weighted[y, x, first + 4] = weight * r * r
                weighted[y, x, first + 5] = weight * r * g
                weighted[y, x, first + 6] = weight * r * b
                weighted[y, x, first + 7] = weight * g * g
                weighted[y, x, first + 8] = weight * g * b
                weighted[y, x, first + 9] = weight * b * b


@compiled
def _fit_lines(
    near: Maps,
    far: Maps,
    whole: Maps,
    say: Alpha,
    maps: Maps,
    cut: int,
    far_weight: np.float32,
    ridge: np.float32,
    trust: np.float32,
    line: Maps,
) -> None:
    """Fill `line`. Solves (pooled covariance + ridge * identity) direction = difference of the means by cofactors."""
    one, half, tiny = np.float32(1), np.float32(0.5), np.float32(1e-6)
    least_count, most_slack = np.float32(1e-4), np.float32(0.25)
    sums = np.empty(2 * _MOMENTS, np.float32)
    for y in range(line.shape[0]):
        for x in range(line.shape[1]):
            line[y, x, 5] = maps[y + cut, x + cut, 5]
            for place in range(5):
                line[y, x, place] = 0
            heard = say[y + cut, x + cut]
            if heard == 0:
                continue
            for place in range(2 * _MOMENTS):
                sums[place] = near[y + cut, x + cut, place] + far_weight * far[y + cut, x + cut, place]
            for place in range(_MOMENTS):
                sums[place] += whole[place]
            if sums[0] <= least_count or sums[_MOMENTS] <= least_count:
                continue
            for first in (0, _MOMENTS):
                scale = one / max(sums[first], tiny)
                for place in range(1, _MOMENTS):
                    sums[first + place] *= scale
            f_r, f_g, f_b = sums[1], sums[2], sums[3]
            b_r, b_g, b_b = sums[11], sums[12], sums[13]
            xx = half * (sums[4] - f_r * f_r + sums[14] - b_r * b_r) + ridge
            xy = half * (sums[5] - f_r * f_g + sums[15] - b_r * b_g)
            xz = half * (sums[6] - f_r * f_b + sums[16] - b_r * b_b)
            yy = half * (sums[7] - f_g * f_g + sums[17] - b_g * b_g) + ridge
            yz = half * (sums[8] - f_g * f_b + sums[18] - b_g * b_b)
            zz = half * (sums[9] - f_b * f_b + sums[19] - b_b * b_b) + ridge
            c_xx, c_xy, c_xz = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
            c_yy, c_yz, c_zz = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
            # Rounding can push the determinant of a nearly flat covariance under what the ridge alone gives.
            determinant = max(xx * c_xx + xy * c_xy + xz * c_xz, ridge * ridge * ridge)
            r, g, b = f_r - b_r, f_g - b_g, f_b - b_b
            to_r = (c_xx * r + c_xy * g + c_xz * b) / determinant
            to_g = (c_xy * r + c_yy * g + c_yz * b) / determinant
            to_b = (c_xz * r + c_yz * g + c_zz * b) / determinant
            distance2 = max(to_r * r + to_g * g + to_b * b, tiny)
            weight = heard * distance2 / (distance2 + trust)
            # One standard deviation at either end is noise of a pure colour, not mixture.
            slack = min(one / np.sqrt(distance2), most_slack)
            scale = weight / (one - slack - slack)
            line[y, x, 0] = to_r * scale / distance2
            line[y, x, 1] = to_g * scale / distance2
            line[y, x, 2] = to_b * scale / distance2
            line[y, x, 3] = -(line[y, x, 0] * b_r + line[y, x, 1] * b_g + line[y, x, 2] * b_b) - slack * scale
            line[y, x, 4] = weight


def _features(colours: Maps) -> Maps:
    """(h, w, 3) -> (h, w, 10): 1, the colours and their six products, whose means are moments."""
    ones = np.ones((*colours.shape[:2], 1), np.float32)
    products = colours[..., [0, 0, 0, 1, 1, 2]] * colours[..., [0, 1, 2, 1, 2, 2]]
    return np.concatenate([ones, colours, products], axis=-1)


def mean_moments(colours: Maps, weights: Alpha) -> Maps:
    """(10,) means of the moments of (h, w, 3) colours in [0, 1] under (h, w) weights; zeros where all weights are.

    From every fourth pixel each way.
    """
    features = _features(colours[::4, ::4]) * weights[::4, ::4, None]
    sums: Maps = features.sum((0, 1), dtype=np.float64).astype(np.float32)
    mean: Maps = sums / np.maximum(sums[0], np.float32(1e-6))
    return mean
