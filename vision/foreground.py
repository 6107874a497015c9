"""Foreground colours in the edge band, so that no halo of the old background stays: I = aF + (1 - a)B.

F and B are taken as constant in a small window and solved for by least squares on a shrunken photo (the smoothness
prior of Germer et al., "Fast Multi-Level Foreground Estimation", 2020, in closed form), then corrected in each native
pixel so that the equation holds (Forte, "Approximate Fast Foreground Colour Estimation", 2021).
"""

import cv2
import numpy as np

from vision.arrays import Alpha, RgbImage
from vision.bands import Bands, Maps, box_mean

MIDDLE_SIDE_PX = 1000
"""Longer side of the shrunken photo, about. Means of mixed pixels obey the same equation, so it may be small."""
NEAR_RADIUS_PX = 3
FAR_RADIUS_PX = 8
"""Windows at the middle resolution; the far one helps where the near one holds too few kinds of alpha."""
FAR_WEIGHT = np.float32(0.1)
RIDGE = np.float32(0.01)


def estimate_foreground(image: RgbImage, alpha: Alpha) -> RgbImage:
    """Product's own colours where 0 < alpha < 1; elsewhere the image itself.

    image: (H, W, 3) uint8; alpha: (H, W) float32 in [0, 1]. Returns a new (H, W, 3) uint8.
    """
    height, width = alpha.shape
    factor = max(1, min(round(max(height, width) / MIDDLE_SIDE_PX), height, width))
    bands = Bands((height, width), factor, FAR_RADIUS_PX + 2)
    small_alpha = bands.shrink(alpha)
    edge = ((small_alpha > 0) & (small_alpha < 1)).astype(np.uint8)
    band = cv2.dilate(edge, np.ones((3, 3), np.uint8)).astype(np.bool_)
    padded = bands.pad(np.concatenate([bands.shrink(image), small_alpha[..., None]], axis=-1))

    out = image.copy()
    for tile, wanted in bands.tiles(band):
        part = alpha[tile.native]
        mixed = (part > 0) & (part < 1)
        if not wanted or not mixed.any():
            continue
        maps = padded[tile.middle]
        grown = bands.grow(_local_colours(maps[..., :3], maps[..., 3:]), tile)[mixed]
        a = part[mixed][:, None]
        product, ground = grown[:, :3], grown[:, 3:]
        seen = image[tile.native][mixed]
        product = product + a * (seen - a * product - (1 - a) * ground)
        out[tile.native][mixed] = np.rint(np.clip(product, 0, 255)).astype(np.uint8)
    return out


def _local_colours(image: Maps, alpha: Maps) -> Maps:
    """(h, w, 6): the F and B that explain I = aF + (1 - a)B best around each pixel, by least squares.

    Where all alphas around are alike the two cannot be told apart; the ridge then draws them to the means weighted by
    alpha and by 1 - alpha (the blurred means of Forte).
    """
    products = np.concatenate([alpha * alpha, alpha, image * alpha, image], axis=-1)
    sums = box_mean(products, NEAR_RADIUS_PX) + FAR_WEIGHT * box_mean(products, FAR_RADIUS_PX)
    aa, a, ai, i = sums[..., :1], sums[..., 1:2], sums[..., 2:5], sums[..., 5:]
    total = 1 + FAR_WEIGHT
    ab, bb, b, bi = a - aa, total - 2 * a + aa, total - a, i - ai
    # The small constants keep a window without product (or without ground) solvable; alpha hides what it gets.
    ridge_a, ridge_b = RIDGE * (a + 1e-4), RIDGE * (b + 1e-4)
    right_a = ai + ridge_a * ai / np.maximum(a, 1e-4)
    right_b = bi + ridge_b * bi / np.maximum(b, 1e-4)
    aa, bb = aa + ridge_a, bb + ridge_b
    determinant = aa * bb - ab * ab
    solved = np.concatenate([bb * right_a - ab * right_b, aa * right_b - ab * right_a], axis=-1)
    colours: Maps = solved / determinant
    return np.clip(colours, np.float32(0), np.float32(255))
