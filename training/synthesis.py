# ruff: noqa: PLR2004 - the chances and ranges below are the recipe; names would only repeat the prose
"""Photos that are missing from the data, made from cut-outs and backdrops. Same generator state, same photo."""

import math

import numpy as np
from numpy.random import Generator

from training.backdrops import Picture, place, studio
from training.camera import expose, out_of_focus
from training.cutouts import Cutout
from training.kit import Kit
from training.products import Laid, cables, lay, looks_clear, over, see_through, vary
from training.props import drawn_product
from training.scene_mix import SceneMix
from training.shading import with_reflection, with_shadow
from vision.arrays import Alpha, Hw, RgbaImage

CLEAR_TRIES = 20
ASPECTS = (1.0, 1.0, 4 / 3, 3 / 4, 3 / 2, 2 / 3, 5 / 4, 4 / 5)


def scene(rng: Generator, kit: Kit, limit_px: int, mix: SceneMix) -> RgbaImage:
    """One composite, (H, W, 4) uint8, at most `limit_px` long; the fourth channel is the products' exact alpha."""
    photo_px = _photo_px(rng, mix)
    hw = _frame(rng, min(round(photo_px), limit_px))
    kind = _kind(rng, kit, mix)
    picture = out_of_focus(rng, backdrop(rng, kit, hw, kind))
    total = np.zeros(hw, np.float32)
    shiny = kind in {"studio", "white"} and rng.random() < 0.2
    for product, alpha in _products(rng, kit, hw, kind, mix):
        if kind != "white" or rng.random() < 0.6:
            picture = with_shadow(rng, picture, alpha)
        if shiny:
            picture = with_reflection(rng, picture, product, alpha)
        picture = product * alpha[..., None] + picture * (1 - alpha[..., None])
        total = alpha + total * (1 - alpha)
    return stored(*expose(rng, picture, total, photo_px))


def empty_scene(rng: Generator, kit: Kit, limit_px: int, mix: SceneMix) -> RgbaImage:
    """A photo without a product: its target is 0 everywhere."""
    photo_px = _photo_px(rng, mix)
    hw = _frame(rng, min(round(photo_px), limit_px))
    ground = out_of_focus(rng, backdrop(rng, kit, hw, _kind(rng, kit, mix)))
    return stored(*expose(rng, ground, np.zeros(hw, np.float32), photo_px))


def backdrop(rng: Generator, kit: Kit, hw: Hw, kind: str) -> Picture:
    """The ground of a scene of one of the four kinds."""
    if kind in {"white", "studio"}:
        return studio(rng, hw, white=kind == "white")
    return place(rng, hw, kit.rooms if kind == "room" else kit.surfaces)


def stored(picture: Picture, alpha: Alpha) -> RgbaImage:
    """Round to the store's four uint8 channels."""
    return np.dstack([np.rint(np.clip(picture, 0, 255)), np.rint(alpha * 255)]).astype(np.uint8)


def _products(rng: Generator, kit: Kit, hw: Hw, kind: str, mix: SceneMix) -> list[Laid]:
    """One product, often; two or three; or a set whose parts hang together by cables."""
    smallest = 0.18 if kind in {"room", "surface"} else 0.3
    if rng.random() < mix.cabled:
        parts = [_product(rng, kit, hw, kind, mix, (0.2, 0.5)) for _ in range(int(rng.integers(1, 4)))]
        united = cables(rng, parts)
        for part in parts:
            united = over(part, united)
        return [united]
    if rng.random() < mix.several:
        return [_product(rng, kit, hw, kind, mix, (0.18, 0.6)) for _ in range(int(rng.integers(2, 4)))]
    return [_product(rng, kit, hw, kind, mix, (smallest, 0.95))]


def _product(rng: Generator, kit: Kit, hw: Hw, kind: str, mix: SceneMix, sizes: tuple[float, float]) -> Laid:
    clear = _clear_cutout(rng, kit) if rng.random() < mix.translucent else None
    cutout = clear or _any_cutout(rng, kit, max(hw), mix)
    pale = bool(rng.random() < (mix.pale if kind == "white" else 0.08))
    laid = lay(rng, vary(rng, cutout, pale=pale), hw, smallest=sizes[0], largest=sizes[1])
    return see_through(rng, laid) if clear else laid


def _any_cutout(rng: Generator, kit: Kit, side_px: int, mix: SceneMix) -> Cutout:
    if rng.random() < mix.drawn or not (kit.exact or kit.rough):
        return drawn_product(rng, kit, side_px)
    cutouts = kit.exact if kit.exact and (not kit.rough or rng.random() < 0.6) else kit.rough
    return cutouts[int(rng.integers(len(cutouts)))]


def _clear_cutout(rng: Generator, kit: Kit) -> Cutout | None:
    """One that looks as if one could see through it, of a few tries; never a drawn one, whose inside is product."""
    cutouts = kit.exact or kit.rough
    for _ in range(CLEAR_TRIES if cutouts else 0):
        cutout = cutouts[int(rng.integers(len(cutouts)))]
        if looks_clear(cutout):
            return cutout
    return None


def _photo_px(rng: Generator, mix: SceneMix) -> float:
    return math.exp(rng.uniform(math.log(mix.photo_px_min), math.log(mix.photo_px_max)))


def _kind(rng: Generator, kit: Kit, mix: SceneMix) -> str:
    shares = {"white": mix.white, "studio": mix.studio}
    if kit.rooms:
        shares["room"] = mix.room
    if kit.surfaces:
        shares["surface"] = mix.surface
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def _frame(rng: Generator, long_side_px: int) -> Hw:
    aspect = float(rng.choice(ASPECTS))
    return (round(long_side_px / max(1, aspect)), round(long_side_px * min(1, aspect)))
