"""Fills the store: photos as they are, composites and empty photos made from cut-outs and backgrounds."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from training.cutouts import EXACT_ALPHA, harvest, load_cutouts
from training.manifest import Row, load_photo, shrink
from training.recipe import Recipe
from training.store import Store, is_complete, write_store
from training.synthesis import Kit, empty_scene, scene
from vision.arrays import Alpha, RgbaImage, RgbImage

CUTOUT_SIDE_PX = 480
HOLDOUT_EVERY = 8
"""Every eighth background of a source is kept out of training, to measure photos without a product."""


def pack(image: RgbImage, alpha: Alpha) -> RgbaImage:
    """Image and target as the four channels of a stored sample."""
    return np.dstack([image, np.rint(alpha * 255).astype(np.uint8)])


def photo_samples(rows: Sequence[Row], long_side_px: int) -> Iterator[tuple[str, RgbaImage]]:
    """Photos with a background of their own, shrunk, grouped by source."""
    for row in rows:
        if row.mask is not None and row.source not in EXACT_ALPHA:
            image, alpha = load_photo(row)
            yield row.source, pack(shrink(image, long_side_px), shrink(alpha, long_side_px))


def split_backgrounds(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Backgrounds (for training, held out): every eighth of each source is held out."""
    train: list[Row] = []
    held: list[Row] = []
    for source in sorted({row.source for row in rows}):
        for number, row in enumerate(row for row in rows if row.source == source):
            (held if number % HOLDOUT_EVERY == HOLDOUT_EVERY - 1 else train).append(row)
    return train, held


def photo_store(recipe: Recipe, rows: Sequence[Row], cache_dir: Path) -> Store:
    """Store of the training photos; made once per cache folder."""
    folder = cache_dir / "photos"
    if not is_complete(folder):
        write_store(folder, photo_samples(rows, recipe.data.long_side_px))
    return Store(folder)


def build_kit(recipe: Recipe, photos: Sequence[Row], backgrounds: Sequence[Row]) -> Kit:
    """Cut-outs and backgrounds of the training split; held-out backgrounds stay out."""
    side = CUTOUT_SIDE_PX
    exact = [row for row in photos if row.source in EXACT_ALPHA and row.source in recipe.data.cutout_sources]
    rough = [row for row in photos if row.source not in EXACT_ALPHA and row.source in recipe.data.cutout_sources]
    scenes = [row for row in photos if row.source not in recipe.data.cutout_sources and row.category == "product"]
    rough += harvest(scenes, recipe.data.harvested_cutouts, recipe.seed)
    grounds, _ = split_backgrounds(backgrounds)
    rooms = [load_photo(row)[0] for row in grounds if row.source == "room"]
    surfaces = [load_photo(row)[0] for row in grounds if row.source != "room"]
    return Kit(list(load_cutouts(exact, side)), list(load_cutouts(rough, side)), rooms, surfaces)


def synthetic_samples(recipe: Recipe, kit: Kit) -> Iterator[tuple[str, RgbaImage]]:
    """Groups `composite` and `empty`; every sample has a generator of its own."""
    for number in range(recipe.data.composites):
        rng = np.random.default_rng([recipe.seed, 4, number])
        yield "composite", scene(rng, kit, recipe.data.long_side_px)
    for number in range(recipe.data.empties):
        rng = np.random.default_rng([recipe.seed, 5, number])
        yield "empty", empty_scene(rng, kit, recipe.data.long_side_px)


def synthetic_store(recipe: Recipe, photos: Sequence[Row], backgrounds: Sequence[Row], cache_dir: Path) -> Store:
    """Store of composites and empty photos; made once per cache folder."""
    folder = cache_dir / "synthetic"
    if not is_complete(folder):
        write_store(folder, synthetic_samples(recipe, build_kit(recipe, photos, backgrounds)))
    return Store(folder)
