# ruff: noqa: PLR2004 - the chances and ranges below are the recipe; names would only repeat the prose
"""What stands behind the product: drawn studio sweeps, or crops of photographed places."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vision.arrays import Hw, RgbImage

Picture = NDArray[np.float32]
"""(H, W, 3) float32 sRGB in [0, 255]; may leave the range until it is stored."""


def studio(rng: Generator, hw: Hw, *, white: bool = False) -> Picture:
    """A plain ground or a sweep: vertical gradient, soft horizon, light spot, vignette, grain."""
    height, width = hw
    if white:
        colour = np.full(3, rng.uniform(244, 256)) - rng.uniform(0, 4, 3)
    elif rng.random() < 0.65:
        colour = np.full(3, rng.uniform(90, 250)) + rng.uniform(-10, 10, 3)
    else:
        colour = rng.uniform(15, 250, 3)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    across = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    picture = np.broadcast_to(colour.astype(np.float32), (height, width, 3)).copy()
    strength = 0.015 if white else rng.uniform(0, 0.22)
    picture *= 1 + strength * float(rng.choice([-1, 1])) * (down - 0.5)
    if not white and rng.random() < 0.45:
        horizon, softness = rng.uniform(0.35, 0.8), rng.uniform(0.01, 0.12)
        floor = 1 / (1 + np.exp(-(down - horizon) / softness))
        picture *= 1 + floor * (rng.uniform(-0.25, 0.15) + rng.uniform(-0.05, 0.05, 3).astype(np.float32))
    if rng.random() < 0.5:
        middle_y, middle_x = rng.uniform(0.2, 0.8, 2)
        distance = (down - middle_y) ** 2 + (across - middle_x) ** 2
        picture *= 1 - (0.03 if white else rng.uniform(0, 0.5)) * distance
    return (picture + rng.standard_normal(picture.shape, np.float32) * rng.uniform(0, 2)).astype(np.float32)


def place(rng: Generator, hw: Hw, photos: Sequence[RgbImage]) -> Picture:
    """A random crop of one of the photos, flipped or blurred at times."""
    photo = photos[int(rng.integers(len(photos)))]
    height, width = photo.shape[:2]
    zoom = rng.uniform(0.55, 1.0)
    aspect = hw[1] / hw[0]
    crop_height = min(height, width / aspect) * zoom
    crop_width = crop_height * aspect
    top = int(rng.integers(0, max(1, int(height - crop_height) + 1)))
    left = int(rng.integers(0, max(1, int(width - crop_width) + 1)))
    crop = photo[top : top + max(4, int(crop_height)), left : left + max(4, int(crop_width))]
    picture = cv2.resize(crop, hw[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    if rng.random() < 0.5:
        picture = np.ascontiguousarray(picture[:, ::-1])
    if rng.random() < 0.35:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.6, 4))).astype(np.float32)
    gain = rng.uniform(0.7, 1.2) * rng.uniform(0.92, 1.08, 3)
    return np.clip(picture * gain.astype(np.float32), 0, 255)
