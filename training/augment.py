# ruff: noqa: PLR2004 - the chances and ranges below are the recipe; names would only repeat the prose
"""What happens to a sample between the store and the network. Same generator state, same result."""

import cv2
import numpy as np
from numpy.random import Generator

from vision.arrays import Alpha, Canvas, Hw, RgbaImage, RgbImage
from vision.letterbox import Letterbox, resize

MIN_KEPT_SHARE = 0.75
"""Of the product's area that a random crop must keep."""


def augment(rng: Generator, pixels: RgbaImage, canvas_hw: Hw, *, camera: bool = True) -> tuple[Canvas, Alpha]:
    """(H, W, 4) uint8 -> letterboxed image (h, w, 3) uint8 and target (h, w) float32 in [0, 1].

    Without `camera`, light and noise stay as they are: scenes have got theirs.
    """
    if rng.random() < 0.5:
        pixels = random_crop(rng, pixels)
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    if rng.random() < 0.06:
        pixels = np.rot90(pixels, int(rng.integers(1, 4)))
    if rng.random() < 0.3:
        height, width = pixels.shape[:2]
        pixels = resize(np.ascontiguousarray(pixels), (height, max(8, round(width * rng.uniform(0.75, 1.33)))))
    image, alpha = to_canvas(pixels, canvas_hw)
    return (photometric(rng, image) if camera else image), alpha


def to_canvas(pixels: RgbaImage, canvas_hw: Hw) -> tuple[Canvas, Alpha]:
    """Letterbox image and target alike; beside the photo the target is 0."""
    box = Letterbox.fit(pixels.shape[:2], canvas_hw)
    (top, left), (height, width) = box.pad_tl, box.scaled_hw
    alpha = np.zeros(canvas_hw, np.float32)
    alpha[top : top + height, left : left + width] = np.clip(
        resize(pixels[..., 3].astype(np.float32), box.scaled_hw) / 255, 0, 1
    )
    return box.apply(pixels[..., :3]), alpha


def random_crop(rng: Generator, pixels: RgbaImage) -> RgbaImage:
    """A window of 50 % to 100 % of each side that keeps most of the product, or the whole after three tries."""
    height, width = pixels.shape[:2]
    alpha = pixels[..., 3]
    product = int(alpha.sum(dtype=np.int64))
    for _ in range(3):
        crop_height, crop_width = (max(8, round(side * rng.uniform(0.5, 1.0))) for side in (height, width))
        top = int(rng.integers(0, max(0, height - crop_height) + 1))
        left = int(rng.integers(0, max(0, width - crop_width) + 1))
        window = (slice(top, top + crop_height), slice(left, left + crop_width))
        if int(alpha[window].sum(dtype=np.int64)) >= MIN_KEPT_SHARE * product:
            return pixels[window]
    return pixels


def photometric(rng: Generator, image: RgbImage) -> RgbImage:
    """Exposure, contrast, colour cast, saturation; sometimes grey, blur, noise or JPEG artefacts."""
    out = image.astype(np.float32)
    if rng.random() < 0.7:
        gain = rng.uniform(0.75, 1.25) * rng.uniform(0.93, 1.07, 3)
        out = (out - 128) * np.float32(rng.uniform(0.75, 1.25)) + 128
        out = np.clip(out * gain.astype(np.float32) + np.float32(rng.uniform(-15, 15)), 0, 255)
        grey = out.mean(axis=2, keepdims=True)
        out = np.clip(grey + (out - grey) * np.float32(rng.uniform(0.5, 1.4)), 0, 255)
    if rng.random() < 0.04:
        out = np.repeat(out.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < 0.12:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.4, 1.5))).astype(np.float32)
    if rng.random() < 0.15:
        out = out + rng.standard_normal(out.shape, np.float32) * np.float32(rng.uniform(1, 9))
    result = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.12:
        quality = int(rng.integers(35, 85))
        coded = cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return result
