# ruff: noqa: PLR2004 - the chances and ranges below are the recipe; names would only repeat the prose
"""Shadows and reflections that a product throws on its ground. They are no product."""

import cv2
import numpy as np
from numpy.random import Generator

from training.backdrops import Picture
from vision.arrays import Alpha


def with_shadow(rng: Generator, picture: Picture, alpha: Alpha) -> Picture:
    """Darken the ground: a soft cast shadow and, more often than not, a tight one where the product stands."""
    shade = np.zeros_like(alpha)
    if rng.random() < 0.7:
        shade = cast_shadow(rng, alpha)
    if rng.random() < 0.7:
        shade = np.maximum(shade, contact_shadow(rng, alpha))
    tint = np.array([1, 1, 1], np.float32) - rng.uniform(0, 0.08, 3).astype(np.float32)
    return (picture * (1 - shade[..., None] * tint)).astype(np.float32)


def cast_shadow(rng: Generator, alpha: Alpha) -> Alpha:
    """The product's outline, moved, at times laid flat on the floor from its foot, and blurred."""
    long_side = max(alpha.shape)
    rows = np.flatnonzero((alpha > 0.5).any(axis=1))
    move = np.array([[1, 0, 0], [0, 1, 0]], np.float64)
    if len(rows) and rng.random() < 0.4:
        foot, flat, lean = float(rows.max()), rng.uniform(0.15, 0.5), rng.uniform(-0.8, 0.8)
        move = np.array([[1, -lean, lean * foot], [0, flat, foot * (1 - flat)]])
    else:
        move[:, 2] = rng.uniform(-0.06, 0.06, 2) * long_side + (0, 0.02 * long_side)
    moved = cv2.warpAffine(alpha, move, alpha.shape[::-1]).astype(np.float32)
    return blurred(moved, rng.uniform(0.006, 0.05) * long_side) * np.float32(rng.uniform(0.1, 0.6))


def contact_shadow(rng: Generator, alpha: Alpha) -> Alpha:
    """A dark line below every column's lowest point that is near the foot, blurred a little."""
    long_side = max(alpha.shape)
    inside = alpha > 0.5
    columns = np.flatnonzero(inside.any(axis=0))
    shade = np.zeros_like(alpha)
    if not len(columns):
        return shade
    lowest = alpha.shape[0] - 1 - np.argmax(inside[::-1, columns], axis=0)
    reach = lowest.max() - rng.uniform(0.02, 0.1) * np.ptp(np.flatnonzero(inside.any(axis=1)))
    touching = lowest >= reach
    points = np.stack([columns[touching], lowest[touching]], axis=1).astype(np.int32)
    thickness = max(2, int(rng.uniform(0.008, 0.03) * long_side))
    for x, y in points[:: max(1, thickness // 3)]:
        cv2.ellipse(shade, (int(x), int(y)), (thickness, max(1, thickness // 3)), 0, 0, 360, 1.0, -1)
    return blurred(shade, rng.uniform(0.003, 0.015) * long_side) * np.float32(rng.uniform(0.3, 0.9))


def with_reflection(rng: Generator, picture: Picture, product: Picture, alpha: Alpha) -> Picture:
    """Mirror the product in a glossy table below its foot, fading downwards."""
    rows = np.flatnonzero((alpha > 0.5).any(axis=1))
    if not len(rows):
        return picture
    foot = int(rows.max())
    below = np.arange(alpha.shape[0]) - foot
    source = np.clip(foot - below, 0, alpha.shape[0] - 1)
    fade = np.where(below >= 0, np.exp(-below / (rng.uniform(0.05, 0.25) * alpha.shape[0])), 0)
    share: Alpha = (alpha[source] * fade[:, None] * rng.uniform(0.15, 0.5))[..., None]
    return (product[source] * share + picture * (1 - share)).astype(np.float32)


def blurred(array: Alpha, sigma_px: float) -> Alpha:
    """Gaussian blur; wide ones are made on a smaller map, where they cost less and look the same."""
    shrink = max(1, int(sigma_px / 3))
    if shrink == 1:
        return cv2.GaussianBlur(array, (0, 0), sigma_px).astype(np.float32)
    height, width = array.shape
    small = cv2.resize(array, (max(1, width // shrink), max(1, height // shrink)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / shrink)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
