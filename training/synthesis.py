# ruff: noqa: PLR2004 - the chances and ranges below are the recipe; names would only repeat the prose
"""Photos that are missing from the data, made from cut-outs and backdrops. Same generator state, same photo."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from training.backdrops import Picture, place, studio
from training.cutouts import Cutout
from vision.arrays import Alpha, Hw, RgbaImage, RgbImage

ASPECTS = (1.0, 1.0, 4 / 3, 3 / 4, 3 / 2, 2 / 3, 5 / 4, 4 / 5)
MIN_SIDE_PX = 12


@dataclass(frozen=True)
class Kit:
    """What scenes are made of. `exact` cut-outs have true alpha, `rough` ones come from masks."""

    exact: Sequence[Cutout]
    rough: Sequence[Cutout]
    rooms: Sequence[RgbImage]
    surfaces: Sequence[RgbImage]


def scene(rng: Generator, kit: Kit, long_side_px: int) -> RgbaImage:
    """One composite, (H, W, 4) uint8, whose fourth channel is the exact alpha of its one to three products."""
    hw = _frame(rng, long_side_px)
    kind = str(rng.choice(["white", "studio", "room", "surface"], p=[0.16, 0.34, 0.28, 0.22]))
    picture = backdrop(rng, kit, hw, kind)
    total = np.zeros(hw, np.float32)
    for _ in range(int(rng.choice([1, 2, 3], p=[0.86, 0.1, 0.04]))):
        cutouts = kit.exact if rng.random() < 0.6 else kit.rough
        cutout = vary(rng, cutouts[int(rng.integers(len(cutouts)))], kind)
        product, alpha = lay(rng, cutout, hw, kind)
        if kind != "white" or rng.random() < 0.6:
            picture = with_shadow(rng, picture, alpha)
        if kind == "studio" and rng.random() < 0.2:
            picture = with_reflection(rng, picture, product, alpha)
        picture = product * alpha[..., None] + picture * (1 - alpha[..., None])
        total = alpha + total * (1 - alpha)
    if rng.random() < 0.15:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.0))).astype(np.float32)
    return stored(picture, total)


def empty_scene(rng: Generator, kit: Kit, long_side_px: int) -> RgbaImage:
    """A photo without a product: its target is 0 everywhere."""
    hw = _frame(rng, long_side_px)
    kind = str(rng.choice(["white", "studio", "room", "surface"], p=[0.15, 0.35, 0.25, 0.25]))
    return stored(backdrop(rng, kit, hw, kind), np.zeros(hw, np.float32))


def backdrop(rng: Generator, kit: Kit, hw: Hw, kind: str) -> Picture:
    """The ground of a scene of one of the four kinds."""
    if kind in {"white", "studio"}:
        return studio(rng, hw, white=kind == "white")
    return place(rng, hw, kit.rooms if kind == "room" else kit.surfaces)


def vary(rng: Generator, cutout: Cutout, kind: str) -> Cutout:
    """Flip and recolour; on white grounds every other product is made nearly white, which the data lacks."""
    image: Picture = cutout.image.astype(np.float32)
    alpha = cutout.alpha
    if rng.random() < 0.5:
        image, alpha = image[:, ::-1], alpha[:, ::-1]
    if rng.random() < (0.5 if kind == "white" else 0.08):
        grey = image.mean(axis=2, keepdims=True)
        pale = grey + (image - grey) * rng.uniform(0, 0.4)
        low = rng.uniform(150, 215)
        top = max(1.0, float(np.percentile(grey, 95)))
        image = (low + pale * (rng.uniform(244, 255) - low) / top).astype(np.float32)
    else:
        tint = rng.uniform(0.75, 1.2) * rng.uniform(0.88, 1.12, 3)
        gamma = rng.uniform(0.75, 1.3)
        image = (255 * (np.clip(image / 255, 0, 1) ** gamma) * tint).astype(np.float32)
    return Cutout(np.clip(image, 0, 255).astype(np.uint8), np.ascontiguousarray(alpha))


def lay(rng: Generator, cutout: Cutout, hw: Hw, kind: str) -> tuple[Picture, Alpha]:
    """Scale, turn and move a cut-out into the frame: picture (H, W, 3) and alpha (H, W)."""
    height, width = cutout.alpha.shape
    smallest = 0.18 if kind in {"room", "surface"} else 0.3
    size = rng.uniform(smallest, 0.95)
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


def with_shadow(rng: Generator, picture: Picture, alpha: Alpha) -> Picture:
    """Darken the ground: a soft cast shadow and, more often than not, a tight one at the foot."""
    long_side = max(alpha.shape)
    shade = np.zeros_like(alpha)
    if rng.random() < 0.75:
        shift = rng.uniform(-0.06, 0.06, 2) * long_side + (0, 0.02 * long_side)
        move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
        moved = cv2.warpAffine(alpha, move, alpha.shape[::-1]).astype(np.float32)
        shade = blurred(moved, rng.uniform(0.006, 0.06) * long_side) * np.float32(rng.uniform(0.1, 0.6))
    rows, columns = np.nonzero(alpha > 0.5)
    if rng.random() < 0.6 and len(rows):
        foot = np.zeros_like(alpha)
        centre = (int(columns.mean()), int(rows.max()))
        axes = (max(2, int(np.ptp(columns) * rng.uniform(0.3, 0.55))), max(1, int(0.012 * long_side)))
        cv2.ellipse(foot, centre, axes, 0, 0, 360, 1.0, -1)
        foot = blurred(foot, rng.uniform(0.006, 0.025) * long_side)
        shade = np.maximum(shade, foot * np.float32(rng.uniform(0.2, 0.8)))
    return (picture * (1 - shade[..., None])).astype(np.float32)


def with_reflection(rng: Generator, picture: Picture, product: Picture, alpha: Alpha) -> Picture:
    """Mirror the product in a glossy table below its foot, fading downwards. The mirror image is no product."""
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
    """Gaussian blur."""
    return cv2.GaussianBlur(array, (0, 0), sigma_px).astype(np.float32)


def stored(picture: Picture, alpha: Alpha) -> RgbaImage:
    """Round to the store's four uint8 channels."""
    return np.dstack([np.rint(np.clip(picture, 0, 255)), np.rint(alpha * 255)]).astype(np.uint8)


def _frame(rng: Generator, long_side_px: int) -> Hw:
    aspect = float(rng.choice(ASPECTS))
    return (round(long_side_px / max(1, aspect)), round(long_side_px * min(1, aspect)))


def _inside(rng: Generator, half: float, side: int) -> float:
    return float(rng.uniform(half, side - half)) if 2 * half < side else side / 2
