# ruff: noqa: PLR2004 - the chances and ranges below are the recipe; names would only repeat the prose
"""Drawn products that the data lacks and that networks cut the insides out of: framed, woven and see-through ones."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

from training.backdrops import Picture, place
from training.cutouts import Cutout, cropped
from training.kit import Kit
from training.strokes import ellipse
from vision.arrays import Alpha, Hw
from vision.letterbox import resize

SHARPER = 2
"""Outlines are drawn this much larger and averaged down, which makes their alpha exact."""


def drawn_product(rng: Generator, kit: Kit, side_px: int) -> Cutout:
    """One of the products below, its longer side about `side_px`."""
    draw = PRODUCTS[int(rng.integers(len(PRODUCTS)))]
    return draw(rng, kit, side_px)


def mirror(rng: Generator, kit: Kit, side_px: int) -> Cutout:
    """A frame around what a mirror shows: a room, pale and a little blurred, or an even light; with a glare."""
    hw = _sides(rng, side_px)
    outline, inner = _framed_shape(rng, hw, share=rng.uniform(0.01, 0.09))
    inside = _view(rng, kit, hw)
    inside = cv2.GaussianBlur(inside, (0, 0), float(rng.uniform(0.5, 3))).astype(np.float32)
    inside = inside * np.float32(rng.uniform(0.6, 0.95)) + np.float32(rng.uniform(10, 70))
    across = np.add.outer(np.linspace(0, 1, hw[0]), np.linspace(0, 1, hw[1]) * rng.uniform(-1.5, 1.5))
    glare = np.exp(-(((across - rng.uniform(0, 1)) / rng.uniform(0.05, 0.3)) ** 2)) * rng.uniform(0, 60)
    return _joined(_frame_colour(rng, hw, inner), inside + glare[..., None].astype(np.float32), inner, outline)


def picture(rng: Generator, kit: Kit, side_px: int) -> Cutout:
    """A framed picture: frame, often a white mat, a photo or shapes inside."""
    hw = _sides(rng, side_px)
    outline, inner = _framed_shape(rng, hw, share=rng.uniform(0.01, 0.06), corners=0.0)
    inside = _view(rng, kit, hw) if rng.random() < 0.6 else _shapes(rng, hw)
    if rng.random() < 0.6:
        mat = round(float(rng.uniform(0.08, 0.22)) * min(hw))
        paper = np.full((*hw, 3), rng.uniform(225, 255), np.float32)
        paper[mat:-mat, mat:-mat] = resize(inside, (hw[0] - 2 * mat, hw[1] - 2 * mat))
        inside = paper
    return _joined(_frame_colour(rng, hw, inner), inside, inner, outline)


def rug(rng: Generator, _: Kit, side_px: int) -> Cutout:
    """A patterned rug, seen from above or lying on a floor, at times with a fringe."""
    hw = _sides(rng, side_px)
    pattern = _pattern(rng, hw)
    alpha = np.ones(hw, np.float32)
    if rng.random() < 0.4:
        pattern, alpha = _fringed(rng, pattern)
    if rng.random() < 0.6:
        return _laid_flat(rng, pattern, alpha)
    return _product(pattern, alpha)


def wire_basket(rng: Generator, kit: Kit, side_px: int) -> Cutout:
    """A grid of wires, front and back; between them one sees the ground, or what lies in the basket."""
    hw = _sides(rng, side_px)
    thickness = float(rng.uniform(0.006, 0.02)) * min(hw)
    lean = rng.uniform(0, 0.2)
    front = _grid(hw, int(rng.integers(4, 14)), int(rng.integers(3, 9)), lean, thickness, 0.12)
    back = _grid(hw, int(rng.integers(4, 14)), int(rng.integers(2, 5)), lean, thickness * 0.8, 0.0)
    metal = rng.uniform(20, 235) + rng.uniform(-8, 8, 3)
    light = 1 + 0.25 * np.sin(np.linspace(0, rng.uniform(5, 25), hw[1]))[None, :, None]
    wires = (metal * light * np.ones((*hw, 1))).astype(np.float32)
    image, alpha = wires * np.float32(0.75), back
    if kit.exact and rng.random() < 0.4:
        inside = kit.exact[int(rng.integers(len(kit.exact)))]
        room = (round(hw[0] * 0.7), round(hw[1] * 0.6))
        scale = min(room[0] / inside.alpha.shape[0], room[1] / inside.alpha.shape[1])
        size = tuple(max(2, round(side * scale)) for side in inside.alpha.shape)
        goods, share = np.zeros((*hw, 3), np.float32), np.zeros(hw, np.float32)
        top, left = hw[0] - size[0] - round(hw[0] * 0.05), (hw[1] - size[1]) // 2
        window = np.s_[top : top + size[0], left : left + size[1]]
        goods[window] = resize(inside.image.astype(np.float32), (size[0], size[1]))
        share[window] = np.clip(resize(inside.alpha, (size[0], size[1])), 0, 1)
        image = goods * share[..., None] + image * (1 - share[..., None])
        alpha = share + alpha * (1 - share)
    image = wires * front[..., None] + image * (1 - front[..., None])
    return _product(image, front + alpha * (1 - front))


def wicker(rng: Generator, _: Kit, side_px: int) -> Cutout:
    """A woven body with a pale cushion on it: white stuff inside the product is product."""
    hw = _sides(rng, side_px)
    body = _outline(hw, corners=rng.uniform(0.15, 0.5))
    y, x = np.mgrid[: hw[0], : hw[1]].astype(np.float32)
    strand = float(rng.uniform(0.012, 0.04)) * min(hw)
    row = np.floor(y / strand)
    weave = np.abs(np.sin(np.pi * (x / (2.2 * strand) + 0.5 * (row % 2)))) * np.abs(np.sin(np.pi * y / strand))
    straw = np.array([rng.uniform(110, 225), rng.uniform(85, 185), rng.uniform(50, 135)])
    image = (straw * (0.4 + 0.6 * weave[..., None])).astype(np.float32)
    middle = (round(hw[1] * rng.uniform(0.4, 0.6)), round(hw[0] * rng.uniform(0.25, 0.6)))
    axes = (round(hw[1] * rng.uniform(0.25, 0.42)), round(hw[0] * rng.uniform(0.1, 0.3)))
    cushion = ellipse(hw, middle, axes, float(rng.uniform(-8, 8)))
    depth = np.hypot((x - middle[0]) / axes[0], (y - middle[1]) / axes[1])
    cloth = rng.uniform(215, 256) - 45 * np.clip(depth, 0, 1) ** 3
    image = image * (1 - cushion[..., None]) + cloth[..., None] * cushion[..., None]
    return _product(image, np.maximum(body, cushion))


PRODUCTS: tuple[Callable[[Generator, Kit, int], Cutout], ...] = (mirror, picture, rug, wire_basket, wicker)


def _product(image: Picture, alpha: Alpha) -> Cutout:
    return cropped(np.clip(image, 0, 255).astype(np.uint8), np.clip(alpha, 0, 1).astype(np.float32))


def _joined(frame: Picture, inside: Picture, inner: Alpha, outline: Alpha) -> Cutout:
    return _product(inside * inner[..., None] + frame * (1 - inner[..., None]), outline)


def _sides(rng: Generator, side_px: int) -> Hw:
    short = round(side_px * float(rng.uniform(0.5, 1)))
    return (side_px, short) if rng.random() < 0.5 else (short, side_px)


def _view(rng: Generator, kit: Kit, hw: Hw) -> Picture:
    photos = kit.rooms if kit.rooms and (not kit.surfaces or rng.random() < 0.7) else kit.surfaces
    if photos:
        return place(rng, hw, photos)
    top, bottom = rng.uniform(60, 250, (2, 3))
    fall = np.linspace(0, 1, hw[0])[:, None, None]
    return np.broadcast_to(top + (bottom - top) * fall, (*hw, 3)).astype(np.float32)


def _outline(hw: Hw, corners: float, inset_px: float = 0.0) -> Alpha:
    """An ellipse at corners of 0.5, otherwise a rectangle whose corners are round by that share of its side."""
    height, width = hw
    y, x = np.mgrid[:height, :width].astype(np.float32)
    half = (height / 2 - 1 - inset_px, width / 2 - 1 - inset_px)
    dy, dx = np.abs(y + 0.5 - height / 2), np.abs(x + 0.5 - width / 2)
    if corners >= 0.45:
        distance = (np.hypot(dy / half[0], dx / half[1]) - 1) * min(half)
    else:
        radius = corners * min(half)
        outside = np.hypot(np.maximum(dy - half[0] + radius, 0), np.maximum(dx - half[1] + radius, 0))
        distance = outside + np.minimum(np.maximum(dy - half[0], dx - half[1]) + radius, 0) - radius
    return np.asarray(np.clip(0.5 - distance, 0, 1), np.float32)


def _framed_shape(rng: Generator, hw: Hw, share: float, corners: float | None = None) -> tuple[Alpha, Alpha]:
    if corners is None:
        corners = float(rng.choice([0.0, rng.uniform(0.05, 0.4), 0.5]))
    return _outline(hw, corners), _outline(hw, corners, max(1.0, share * min(hw)))


def _frame_colour(rng: Generator, hw: Hw, inner: Alpha) -> Picture:
    """Black, white, gold or wood, lighter towards the upper edge of the profile."""
    colours = ((25, 25, 28), (240, 240, 238), (190, 150, 80), (120, 80, 50), (170, 170, 175))
    colour = np.array(colours[int(rng.integers(len(colours)))]) + rng.uniform(-15, 15, 3)
    profile = cv2.GaussianBlur(inner, (0, 0), max(1.0, 0.012 * min(hw)))
    bevel = cv2.Sobel(profile, cv2.CV_32F, 0, 1) * rng.uniform(0, 0.8)
    grain = rng.standard_normal((hw[0], 1, 1)) * rng.uniform(0, 0.05)
    return (colour * (1 + bevel[..., None] + grain)).astype(np.float32)


def _shapes(rng: Generator, hw: Hw) -> Picture:
    canvas = np.full((*hw, 3), rng.uniform(150, 255, 3), np.float32)
    for _ in range(int(rng.integers(2, 8))):
        middle = (int(rng.integers(hw[1])), int(rng.integers(hw[0])))
        axes = rng.integers(max(2, min(hw) // 20), max(4, min(hw) // 3), 2)
        colour = rng.uniform(0, 255, 3).astype(np.float32)
        shape = ellipse(hw, middle, (float(axes[0]), float(axes[1])), float(rng.uniform(0, 180)))[..., None]
        canvas = colour * shape + canvas * (1 - shape)
    return canvas


def _pattern(rng: Generator, hw: Hw) -> Picture:
    """A rug's pattern: few colours, mirrored both ways, repeated, with a border."""
    palette = rng.uniform(20, 245, (int(rng.integers(2, 5)), 3))
    cells = (int(rng.integers(6, 20)), int(rng.integers(6, 20)))
    motif = rng.integers(len(palette), size=cells)
    motif = np.block([[motif, motif[:, ::-1]], [motif[::-1], motif[::-1, ::-1]]])
    motif = np.tile(motif, (int(rng.integers(1, 4)), int(rng.integers(1, 4))))
    smooth = cv2.INTER_NEAREST if rng.random() < 0.5 else cv2.INTER_CUBIC
    image = cv2.resize(palette[motif].astype(np.float32), hw[::-1], interpolation=smooth)
    for _ in range(int(rng.integers(0, 4))):
        edge = round(float(rng.uniform(0, 0.12)) * min(hw))
        colour = tuple(float(value) for value in palette[int(rng.integers(len(palette)))])
        thickness = max(1, round(float(rng.uniform(0.005, 0.04)) * min(hw)))
        cv2.rectangle(image, (edge, edge), (hw[1] - 1 - edge, hw[0] - 1 - edge), colour, thickness)
    return (image + rng.standard_normal((*hw, 1)) * rng.uniform(0, 12)).astype(np.float32)


def _fringed(rng: Generator, pattern: Picture) -> tuple[Picture, Alpha]:
    """The rug with separate pale threads over a strip at its two ends; alpha is 0 between them, 1 elsewhere."""
    height, width = pattern.shape[:2]
    strip = max(2, round(0.04 * height))
    threads = (np.sin(np.arange(width) * 2 * np.pi / rng.uniform(4, 10)) > -0.2).astype(np.float32)
    alpha = np.ones((height, width), np.float32)
    image = pattern.copy()
    colour = rng.uniform(190, 240)
    for end in (np.s_[:strip], np.s_[-strip:]):
        alpha[end] = threads
        image[end] = colour
    return image, alpha


def _laid_flat(rng: Generator, image: Picture, alpha: Alpha) -> Cutout:
    """As it looks on the floor before the camera: the far end is shorter."""
    height, width = alpha.shape
    flat = rng.uniform(0.3, 0.8) * height
    narrow = rng.uniform(0.05, 0.25) * width
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    skew = rng.uniform(-0.2, 0.2) * width
    target = np.array(
        [[narrow + skew, 0], [width - narrow + skew, 0], [width, flat], [0, flat]], np.float32
    ) + np.array([max(0.0, -skew), 0], np.float32)
    turn = cv2.getPerspectiveTransform(corners, target)
    size = (round(width + abs(skew)) + 2, round(flat) + 2)
    warped = cv2.warpPerspective(np.dstack([image * alpha[..., None], alpha]), turn, size, flags=cv2.INTER_AREA)
    share = np.clip(warped[..., 3], 0, 1)
    return _product(warped[..., :3] / np.maximum(share, 1e-3)[..., None], share.astype(np.float32))


def _grid(hw: Hw, upright: int, across: int, lean: float, thickness_px: float, sag: float) -> Alpha:
    """Wires of a basket that is narrower below by `lean`; drawn larger and averaged down."""
    height, width = (side * SHARPER for side in hw)
    canvas = np.zeros((height, width), np.uint8)
    thick = max(2, round(thickness_px * SHARPER))
    margin = thick
    for number in range(upright + 1):
        share = number / upright
        top = (margin + share * (width - 2 * margin), margin + 4 * sag * share * (1 - share) * height * 0.3)
        foot_x = width * (lean + share * (1 - 2 * lean))
        cv2.line(canvas, _whole(*top), _whole(foot_x, height - margin), 255, thick, cv2.LINE_AA)
    for number in range(across + 1):
        down = number / across
        steps = np.linspace(0, 1, 24)
        inset = lean * down * width
        xs = np.clip(inset + steps * (width - 2 * inset), margin, width - margin)
        ys = margin + down * (height - 2 * margin) + 4 * sag * (1 - down) * steps * (1 - steps) * height * 0.3
        line = np.stack([xs, ys], axis=1).round().astype(np.int32)
        cv2.polylines(canvas, [line], False, 255, thick * (2 if number == 0 else 1), cv2.LINE_AA)
    return cv2.resize(canvas, hw[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)


def _whole(x: float, y: float) -> tuple[int, int]:
    return (round(float(x)), round(float(y)))
