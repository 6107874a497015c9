"""Drawn pictures whose alpha, foreground and background are known exactly.

Shapes are signed distances in pixels (negative inside); alpha = clip(0.5 - distance, 0, 1), which is a one pixel ramp.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from vision.arrays import Alpha, Logits, RgbImage

FloatMap = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class Drawing:
    """image = round(alpha * foreground + (1 - alpha) * background); colours are float32 in [0, 255]."""

    image: RgbImage
    alpha: Alpha
    foreground: FloatMap
    background: FloatMap


def _grid(hw: tuple[int, int]) -> tuple[FloatMap, FloatMap]:
    y, x = np.mgrid[0 : hw[0], 0 : hw[1]].astype(np.float32)
    return y, x


def disc(hw: tuple[int, int], *, centre: tuple[float, float] = (0.5, 0.5), radius: float = 0.3) -> FloatMap:
    """Signed distance to a disc; centre and radius as shares of (H, W) and of the shorter side."""
    y, x = _grid(hw)
    return np.hypot(y - centre[0] * hw[0], x - centre[1] * hw[1]) - radius * min(hw)


def ring(hw: tuple[int, int], *, radius: float = 0.3, width: float = 0.06) -> FloatMap:
    """Signed distance to a ring: its hole is background."""
    return np.abs(disc(hw, radius=radius)) - width * min(hw) / 2


def segment(hw: tuple[int, int], a: tuple[float, float], b: tuple[float, float], width_px: float) -> FloatMap:
    """Signed distance to a straight wire from a to b (y, x shares), width_px thick."""
    y, x = _grid(hw)
    ay, ax, by, bx = a[0] * hw[0], a[1] * hw[1], b[0] * hw[0], b[1] * hw[1]
    length2 = max((by - ay) ** 2 + (bx - ax) ** 2, 1e-6)
    t = np.clip(((y - ay) * (by - ay) + (x - ax) * (bx - ax)) / length2, 0, 1)
    return np.hypot(y - ay - t * (by - ay), x - ax - t * (bx - ax)) - width_px / 2


def wedge(hw: tuple[int, int]) -> FloatMap:
    """Signed distance (on the straight sides) to a triangle that ends in a sharp tip."""
    y, x = _grid(hw)
    y, x = y / hw[0] - 0.15, x / hw[1] - 0.5
    scale = float(min(hw))
    side = (np.abs(x) - 0.35 * y) / np.hypot(1, 0.35)
    return np.maximum(side, y - 0.7) * scale


def wires(hw: tuple[int, int], *, count: int = 7) -> FloatMap:
    """Signed distance to a block with a fan of wires, 2 px to 8 px on a 12 MP photo."""
    scale = max(hw) / 4000
    shape = np.maximum(-np.inf, disc(hw, centre=(0.7, 0.5), radius=0.16))
    for i in range(count):
        end = (0.12, 0.1 + 0.8 * i / max(count - 1, 1))
        shape = np.minimum(shape, segment(hw, (0.7, 0.5), end, max(1.5, (2 + i) * scale)))
    return shape


def hair(hw: tuple[int, int], *, strands: int = 160, seed: int = 3) -> Alpha:
    """Alpha of a disc with a fringe of fine, half covering strands that fade towards their tips."""
    rng = np.random.default_rng(seed)
    alpha = np.clip(0.5 - disc(hw, radius=0.2), 0, 1)
    radius, width_px = 0.2 * min(hw), max(1, round(max(hw) / 1500))
    centre = np.array([hw[1] / 2, hw[0] / 2])
    for _ in range(strands):
        angle, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.25, 0.25)
        t = np.linspace(0.9, rng.uniform(1.3, 1.7), 24)
        theta = angle + bend * (t - 0.9)
        points = centre + radius * t[:, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1)
        strand = np.zeros(hw, np.uint8)
        cv2.polylines(strand, [np.round(points * 16).astype(np.int32)], False, 255, width_px, cv2.LINE_AA, 4)
        y0, x0 = np.floor(points.min(0)[::-1]).astype(int) - 4
        y1, x1 = np.ceil(points.max(0)[::-1]).astype(int) + 4
        box = np.s_[max(y0, 0) : y1, max(x0, 0) : x1]
        y, x = np.mgrid[box]
        far = np.hypot(y - centre[1], x - centre[0]) / radius
        fade = np.clip((t[-1] - far) / 0.5, 0.1, 0.9)
        alpha[box] = np.maximum(alpha[box], strand[box] / np.float32(255) * fade)
    return alpha.astype(np.float32)


def plain(hw: tuple[int, int], colour: tuple[float, float, float], *, shade: float = 0.1) -> FloatMap:
    """One colour with a soft vertical shade, as paper in a studio."""
    fall = 1 - shade * np.linspace(0, 1, hw[0], dtype=np.float32)[:, None, None]
    return np.broadcast_to(np.float32(colour) * fall, (*hw, 3)).astype(np.float32)


def textured(
    hw: tuple[int, int], colour: tuple[float, float, float], *, strength: float = 30, seed: int = 0
) -> FloatMap:
    """Colour with noise of several sizes, as cloth, wood or stone."""
    rng = np.random.default_rng(seed)
    noise = np.zeros(hw, np.float32)
    for cell in (2, 6, 20, 70):
        small = rng.standard_normal((hw[0] // cell + 2, hw[1] // cell + 2)).astype(np.float32)
        noise += cv2.resize(small, (hw[1], hw[0]), interpolation=cv2.INTER_CUBIC)
    tint = np.float32([1.0, 0.9, 0.75])
    return np.clip(np.float32(colour) + noise[..., None] * tint * (strength / 2), 0, 255)


def compose(alpha: Alpha, foreground: FloatMap, background: FloatMap, *, noise: float = 2, seed: int = 1) -> Drawing:
    """Blend by I = aF + (1 - a)B, add the sensor's noise, round to 8 bits."""
    rng = np.random.default_rng(seed)
    image = alpha[..., None] * foreground + (1 - alpha[..., None]) * background
    image += rng.standard_normal((*alpha.shape, 1)).astype(np.float32) * noise
    return Drawing(np.clip(np.rint(image), 0, 255).astype(np.uint8), alpha, foreground, background)


SHAPES: dict[str, Callable[[tuple[int, int]], FloatMap]] = {"disc": disc, "ring": ring, "wedge": wedge, "wires": wires}


def draw(shape: str, ground: str, hw: tuple[int, int]) -> Drawing:
    """Draw a named shape ('hair' or one of SHAPES) over 'plain', 'white' or 'textured'."""
    alpha = hair(hw) if shape == "hair" else np.clip(0.5 - SHAPES[shape](hw), 0, 1).astype(np.float32)
    foreground = textured(hw, (150, 60, 40), strength=14, seed=5)
    grounds = {
        "plain": lambda: plain(hw, (190, 195, 205)),
        "white": lambda: plain(hw, (255, 255, 255), shade=0.02),
        "textured": lambda: textured(hw, (110, 125, 120), strength=26, seed=9),
    }
    return compose(alpha, foreground, grounds[ground]())


def coarse_logits(
    alpha: Alpha, side_px: int = 128, *, shift_px: float = 0.6, blur_px: float = 0.6, seed: int = 0
) -> Logits:
    """What a network would say: exact alpha shrunk, blurred and bent by about half a coarse pixel."""
    height, width = alpha.shape
    size = (max(1, round(width * side_px / max(alpha.shape))), max(1, round(height * side_px / max(alpha.shape))))
    small = cv2.GaussianBlur(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), (0, 0), blur_px)
    rng = np.random.default_rng(seed)
    bend = [
        cv2.resize(rng.standard_normal((9, 9)).astype(np.float32), size, interpolation=cv2.INTER_CUBIC) for _ in "yx"
    ]
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    moved = cv2.remap(
        small, x + shift_px * bend[0], y + shift_px * bend[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    clipped = np.clip(moved, 0.0025, 0.9975)
    return np.log(clipped / (1 - clipped)).astype(np.float32)
