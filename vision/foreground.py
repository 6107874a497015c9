"""Foreground colours in the edge band, so that no halo of the old background stays: I = aF + (1 - a)B.

F and B are taken as constant in a small window and solved for by least squares on a shrunken photo (the smoothness
prior of Germer et al., "Fast Multi-Level Foreground Estimation", 2020, in closed form), then corrected in each native
pixel so that the equation holds (Forte, "Approximate Fast Foreground Colour Estimation", 2021).
"""

import cv2
import numpy as np

from vision.arrays import Alpha, RgbImage
from vision.bands import Bands, Maps, box_mean
from vision.compiled import compiled

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
        if wanted:
            colours = _local_colours(padded[tile.middle])
            _correct(image[tile.native], alpha[tile.native], colours, factor, out[tile.native])
    return out


def _local_colours(maps: Maps) -> Maps:
    """(h, w, 6): the F and B that explain I = aF + (1 - a)B best around each pixel, by least squares.

    maps: (h, w, 4) colours and alpha with the margin of a tile, of which one pixel remains.
    """
    products = np.empty((*maps.shape[:2], 8), np.float32)
    _multiply(maps, products)
    near, far = box_mean(products, NEAR_RADIUS_PX), box_mean(products, FAR_RADIUS_PX)
    cut = FAR_RADIUS_PX + 1
    colours = np.empty((maps.shape[0] - 2 * cut, maps.shape[1] - 2 * cut, 6), np.float32)
    _solve(near, far, cut, FAR_WEIGHT, RIDGE, colours)
    return colours


@compiled
def _multiply(maps: Maps, products: Maps) -> None:
    """A * a, a, I * a, I of each pixel."""
    for y in range(maps.shape[0]):
        for x in range(maps.shape[1]):
            a = maps[y, x, 3]
            products[y, x, 0] = a * a
            products[y, x, 1] = a
            for channel in range(3):
                products[y, x, 2 + channel] = maps[y, x, channel] * a
                products[y, x, 5 + channel] = maps[y, x, channel]


@compiled
def _solve(near: Maps, far: Maps, cut: int, far_weight: np.float32, ridge: np.float32, colours: Maps) -> None:
    """Fill `colours` from the means of products, by two equations in two unknowns for each channel.

    Where all alphas around are alike the two cannot be told apart; the ridge then draws them to the means weighted by
    alpha and by 1 - alpha (the blurred means of Forte).
    """
    # The small constants keep a window without product (or without ground) solvable; alpha hides what it gets.
    one, tiny = np.float32(1), np.float32(1e-4)
    total = one + far_weight
    for y in range(colours.shape[0]):
        for x in range(colours.shape[1]):
            at = (y + cut, x + cut)
            aa = near[at[0], at[1], 0] + far_weight * far[at[0], at[1], 0]
            a = near[at[0], at[1], 1] + far_weight * far[at[0], at[1], 1]
            ab, bb, b = a - aa, total - a - a + aa, total - a
            ridge_a, ridge_b = ridge * (a + tiny), ridge * (b + tiny)
            determinant = (aa + ridge_a) * (bb + ridge_b) - ab * ab
            for channel in range(3):
                ai = near[at[0], at[1], 2 + channel] + far_weight * far[at[0], at[1], 2 + channel]
                bi = near[at[0], at[1], 5 + channel] + far_weight * far[at[0], at[1], 5 + channel] - ai
                right_a = ai + ridge_a * ai / max(a, tiny)
                right_b = bi + ridge_b * bi / max(b, tiny)
                product = ((bb + ridge_b) * right_a - ab * right_b) / determinant
                ground = ((aa + ridge_a) * right_b - ab * right_a) / determinant
                colours[y, x, channel] = min(max(product, np.float32(0)), np.float32(255))
                colours[y, x, 3 + channel] = min(max(ground, np.float32(0)), np.float32(255))


@compiled
def _correct(image: RgbImage, alpha: Alpha, colours: Maps, factor: int, out: RgbImage) -> None:
    """Write the product's colours to `out` where 0 < alpha < 1: `colours`, grown bilinearly, made to fit the photo."""
    one = np.float32(1)
    row = np.empty((colours.shape[1], 6), np.float32)
    for y in range(alpha.shape[0]):
        middle_y = (y + np.float32(0.5)) / factor + np.float32(0.5)
        top = int(middle_y)
        lower = np.float32(middle_y - top)
        is_row_grown = False
        for x in range(alpha.shape[1]):
            a = alpha[y, x]
            if a <= 0 or a >= one:
                continue
            if not is_row_grown:
                is_row_grown = True
                for place in range(colours.shape[1]):
                    for c in range(6):
                        above = colours[top, place, c]
                        row[place, c] = above + lower * (colours[top + 1, place, c] - above)
            middle_x = (x + np.float32(0.5)) / factor + np.float32(0.5)
            left = int(middle_x)
            right = np.float32(middle_x - left)
            for channel in range(3):
                product = row[left, channel] + right * (row[left + 1, channel] - row[left, channel])
                ground = row[left, 3 + channel] + right * (row[left + 1, 3 + channel] - row[left, 3 + channel])
                product += a * (image[y, x, channel] - a * product - (one - a) * ground)
                out[y, x, channel] = np.uint8(np.rint(min(max(product, np.float32(0)), np.float32(255))))
