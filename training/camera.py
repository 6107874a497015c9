# ruff: noqa: PLR2004 - the chances and ranges below are the recipe; names would only repeat the prose
"""What a camera does to a scene: blur by focus and motion, light, noise, JPEG, few pixels."""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.backdrops import Picture
from vision.arrays import Alpha
from vision.letterbox import resize


def out_of_focus(rng: Generator, ground: Picture) -> Picture:
    """A ground that lies behind the plane of focus, at times."""
    if rng.random() < 0.3:
        sigma = float(rng.uniform(0.002, 0.015)) * max(ground.shape[:2])
        return cv2.GaussianBlur(ground, (0, 0), max(0.4, sigma)).astype(np.float32)
    return ground


def expose(rng: Generator, picture: Picture, alpha: Alpha, photo_px: float) -> tuple[Picture, Alpha]:
    """Photograph a scene as a camera whose photo is `photo_px` long would.

    What happens to single pixels of a large photo is averaged away when the scene is drawn smaller than the photo.
    """
    share = min(1.0, max(picture.shape[:2]) / photo_px)
    picture, alpha = _blur(rng, picture, alpha)
    picture = _light(rng, picture)
    if rng.random() < 0.4:
        picture = _noise(rng, picture, share)
    if rng.random() < 0.5 and share > 0.5:
        picture = _jpeg(rng, picture)
    return picture, alpha


def _blur(rng: Generator, picture: Picture, alpha: Alpha) -> tuple[Picture, Alpha]:
    """Softness or motion of the whole frame. Motion smears the edge, and the truth with it."""
    if rng.random() < 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.2))).astype(np.float32)
    if rng.random() < 0.05:
        kernel = _streak(rng, max(3, round(float(rng.uniform(0.004, 0.016)) * max(alpha.shape))))
        moved = (cv2.filter2D(each, -1, kernel, borderType=cv2.BORDER_REPLICATE) for each in (picture, alpha))
        picture, alpha = (each.astype(np.float32) for each in moved)
    return picture, alpha


def _streak(rng: Generator, length: int) -> NDArray[np.float32]:
    size = length + 1 - length % 2
    kernel = np.zeros((size, size), np.float32)
    kernel[size // 2] = 1
    turn = cv2.getRotationMatrix2D((size // 2, size // 2), float(rng.uniform(0, 180)), 1)
    kernel = cv2.warpAffine(kernel, turn, (size, size)).astype(np.float32)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _light(rng: Generator, picture: Picture) -> Picture:
    """Exposure, contrast and colour cast, saturation; rarely grey."""
    if rng.random() < 0.6:
        cast = rng.uniform(0.9, 1.1, 3) if rng.random() < 0.3 else rng.uniform(0.97, 1.03, 3)
        gain = (rng.uniform(0.8, 1.15) * cast).astype(np.float32)
        picture = ((picture - 128) * np.float32(rng.uniform(0.8, 1.2)) + 128) * gain
        grey = picture.mean(axis=2, keepdims=True)
        picture = grey + (picture - grey) * np.float32(rng.uniform(0.6, 1.3))
    if rng.random() < 0.04:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    return np.clip(picture, 0, 255).astype(np.float32)


def _noise(rng: Generator, picture: Picture, share: float) -> Picture:
    """Shot and read noise: the brighter, the more; in blotches as phones leave it, at times."""
    height, width = picture.shape[:2]
    shot, read = rng.uniform(0.1, 0.9), rng.uniform(0.3, 5)
    strength = np.sqrt(read**2 + shot**2 * picture) * np.float32(max(share, 0.15))
    if rng.random() < 0.3:
        grain = resize(rng.standard_normal((max(2, height // 2), max(2, width // 2), 3), np.float32), (height, width))
    else:
        grain = rng.standard_normal((height, width, 3), np.float32)
    return np.asarray(np.clip(picture + grain * strength, 0, 255), np.float32)


def _jpeg(rng: Generator, picture: Picture) -> Picture:
    coded = cv2.imencode(".jpg", picture.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.float32)
