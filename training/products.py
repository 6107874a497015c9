# ruff: noqa: PLR2004 - the chances and ranges below are the recipe; names would only repeat the prose
"""How a product comes into a scene: recoloured, made see-through, scaled, turned, joined to others by cables."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator

from training.backdrops import Picture
from training.cutouts import Cutout
from training.shading import blurred
from training.strokes import ellipse, stroke
from vision.arrays import Alpha, Hw

Laid = tuple[Picture, Alpha]
"""A product in its frame: colours (H, W, 3), right wherever alpha is above 0, and alpha (H, W)."""


def vary(rng: Generator, cutout: Cutout, *, pale: bool) -> Cutout:
    """Flip, and recolour; `pale` bleaches to nearly white, which the data lacks."""
    image: Picture = cutout.image.astype(np.float32)
    alpha = cutout.alpha
    if rng.random() < 0.5:
        image, alpha = image[:, ::-1], alpha[:, ::-1]
    if pale:
        grey = image.mean(axis=2, keepdims=True)
        faded = grey + (image - grey) * rng.uniform(0, 0.4)
        low = rng.uniform(150, 215)
        top = max(1.0, float(np.percentile(grey, 95)))
        image = (low + faded * (rng.uniform(244, 255) - low) / top).astype(np.float32)
    else:
        tint = rng.uniform(0.75, 1.2) * rng.uniform(0.88, 1.12, 3)
        gamma = rng.uniform(0.75, 1.3)
        image = (255 * (np.clip(image / 255, 0, 1) ** gamma) * tint).astype(np.float32)
    return Cutout(np.clip(image, 0, 255).astype(np.uint8), np.ascontiguousarray(alpha))


def looks_clear(cutout: Cutout) -> bool:
    """Whether a product could be of glass or frosted plastic: pale all over and nearly without colour.

    A grey alpha of anything else would teach that what looks solid is not.
    """
    pixels = cutout.image[cutout.alpha > 0.5].astype(np.float32)
    if not len(pixels):
        return False
    colour, grey = np.ptp(pixels, axis=1), pixels.mean(axis=1)
    return bool(np.percentile(colour, 90) < 40 and np.percentile(grey, 10) > 90)


def see_through(rng: Generator, laid: Laid) -> Laid:
    """Glass or frosted plastic: clear in the middle, denser at its rim and where it shines."""
    image, alpha = laid
    inside = blurred(alpha, max(1.0, 0.02 * max(alpha.shape)))
    rim = np.clip((1 - inside) * 2.2, 0, 1)
    grey = image.mean(axis=2)
    shine = np.clip((grey - np.percentile(grey[alpha > 0.5], 85)) / 60, 0, 1) if (alpha > 0.5).any() else 0 * grey
    density = np.clip(rng.uniform(0.3, 0.75) + 0.6 * rim + 0.5 * shine, 0, 1).astype(np.float32)
    tint = rng.uniform(0.6, 1.0)
    clear = grey[..., None] * tint + image * (1 - tint)
    return np.clip(clear * rng.uniform(0.8, 1.2) + 40 * shine[..., None], 0, 255).astype(np.float32), alpha * density


def lay(rng: Generator, cutout: Cutout, hw: Hw, *, smallest: float, largest: float = 0.95) -> Laid:
    """Scale to a share of the frame between `smallest` and `largest`, turn and move into the frame."""
    height, width = cutout.alpha.shape
    size = rng.uniform(smallest, largest)
    scale = size * min(hw[0] / height, hw[1] / width)
    angle = 0.0
    if rng.random() < 0.45:
        angle = rng.uniform(-25, 25) if rng.random() < 0.8 else rng.uniform(-180, 180)
    half_h, half_w = scale * height / 2, scale * width / 2
    overhang = 0.25 if rng.random() < 0.1 else 0.0
    middle_y = _inside(rng, half_h * (1 - overhang), hw[0])
    middle_x = _inside(rng, half_w * (1 - overhang), hw[1])
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    turn = turn + np.array([[0, 0, middle_x - width / 2], [0, 0, middle_y - height / 2]])
    source = np.dstack([cutout.image * cutout.alpha[..., None], cutout.alpha * 255]).astype(np.float32)
    if scale < 0.7:  # warpAffine does not average, so a strong shrink would alias
        source = cv2.GaussianBlur(source, (0, 0), 0.45 / scale).astype(np.float32)
    warped = cv2.warpAffine(source, turn, hw[::-1], flags=cv2.INTER_LINEAR)
    alpha = np.clip(warped[..., 3] / 255, 0, 1).astype(np.float32)
    product = warped[..., :3] / np.maximum(alpha, 1e-3)[..., None]
    return np.clip(product, 0, 255).astype(np.float32), alpha


def cables(rng: Generator, parts: Sequence[Laid]) -> Laid:
    """Thin curves from part to part, and one that ends loose with a plug; they lie below the parts."""
    hw = (parts[0][1].shape[0], parts[0][1].shape[1])
    points = [_middle(alpha) for _, alpha in parts]
    loose = (float(rng.uniform(0.05, 0.95)) * hw[1], float(rng.uniform(0.05, 0.95)) * hw[0])
    thickness = max(1.2, float(rng.uniform(0.003, 0.012)) * max(hw))
    alpha, core = np.zeros(hw, np.float32), np.zeros(hw, np.float32)
    for start, end in zip(points, [*points[1:], loose], strict=True):
        line = _curve(rng, start, end, 0.35 * max(hw))
        alpha = np.maximum(alpha, stroke(hw, line, thickness))
        core = np.maximum(core, stroke(hw, line, max(1.0, thickness / 3)))
    plug = max(2.0, 1.6 * thickness)
    alpha = np.maximum(alpha, ellipse(hw, loose, (plug, plug)))
    colour = (rng.uniform(15, 50) if rng.random() < 0.6 else rng.uniform(180, 250)) + rng.uniform(-12, 12, 3)
    light = np.clip(colour + rng.uniform(10, 60), 0, 255)
    image = colour + (light - colour) * core[..., None]
    return np.clip(image, 0, 255).astype(np.float32), alpha


def over(front: Laid, back: Laid) -> Laid:
    """Two laid products as one, `front` covering `back`."""
    (ours, a), (theirs, b) = front, back
    total = a + b * (1 - a)
    colours = ours * a[..., None] + theirs * (b * (1 - a))[..., None]
    return (colours / np.maximum(total, 1e-3)[..., None]).astype(np.float32), total


def _inside(rng: Generator, half: float, side: int) -> float:
    return float(rng.uniform(half, side - half)) if 2 * half < side else side / 2


def _middle(alpha: Alpha) -> tuple[float, float]:
    rows, columns = np.nonzero(alpha > 0.5)
    return (float(columns.mean()), float(rows.mean())) if len(rows) else (alpha.shape[1] / 2, alpha.shape[0] / 2)


def _curve(rng: Generator, start: tuple[float, float], end: tuple[float, float], bend_px: float) -> Picture:
    """A cubic Bézier curve (n, 2) in x, y."""
    first, last = np.array(start), np.array(end)
    second, third = (first + (last - first) * share + rng.uniform(-bend_px, bend_px, 2) for share in (0.3, 0.7))
    t = np.linspace(0, 1, 60)[:, None]
    curve = (1 - t) ** 3 * first + 3 * (1 - t) ** 2 * t * second + 3 * (1 - t) * t**2 * third + t**3 * last
    return np.asarray(curve, np.float32)
