"""Decodes what a run learns from into stores on disk: photos, cut-outs, backgrounds, at times whole scenes."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.cutouts import harvest, is_cutout, load_cutouts
from training.kit import Kit, StoredCutouts, StoredPhotos
from training.manifest import Row, load_photo, select, shrink
from training.recipe import Recipe
from training.store import FORMAT, Store, is_complete, write_store
from training.synthesis import empty_scene, scene
from vision.arrays import Alpha, RgbaImage, RgbImage

HOLDOUT_EVERY = 8
"""Every eighth background of a source is kept out of training, to measure photos without a product."""
SCENE_GROUPS = ("composite", "empty")
SCENE_MARGIN = 1.25
"""Scenes are drawn this much larger than the canvas, since augmentation crops them."""

Samples = Iterator[tuple[str, RgbaImage]]


@dataclass(frozen=True)
class Materials:
    """What a run learns from, opened. `scenes` are those drawn in advance, if any."""

    photos: Store
    kit: Kit
    scenes: Store | None


def prepare(recipe: Recipe, rows: Sequence[Row], cache_dir: Path) -> Materials:
    """Write the stores that are not there yet, then open all. A store's folder is named after what is in it."""
    photos, backgrounds = training_rows(recipe, rows), select(rows, "backgrounds")
    data = recipe.data
    store = _store(cache_dir, "photos", photos, data.long_side_px, lambda: photo_samples(photos, data.long_side_px))
    scenes = None
    kit = Kit((), (), (), ())
    if recipe.groups() & set(SCENE_GROUPS):
        kit = open_kit(recipe, photos, backgrounds, cache_dir)
        if data.cached_scenes:
            limit = scene_limit_px(max(phase.canvas_px for phase in recipe.phases))
            key = (recipe.seed, recipe.scenes, data, limit)
            scenes = _store(cache_dir, "scenes", rows, key, lambda: scene_samples(recipe, kit, limit))
    return Materials(store, kit, scenes)


def training_rows(recipe: Recipe, rows: Sequence[Row]) -> list[Row]:
    """Rows of the training split that are learnt from; those held out for validation are not."""
    held = {row.image for row in validation_rows(recipe, rows)}
    return [row for row in select(rows, "train") if row.image not in held and _is_trusted(recipe, row)]


def validation_rows(recipe: Recipe, rows: Sequence[Row]) -> list[Row]:
    """Photos that choose the best weights: of every source in turn, drawn by seed; no mask that a person refused."""
    candidates = [
        row
        for row in select(rows, recipe.data.validation_split)
        if row.mask not in {None, row.image}
        and row.source not in recipe.data.validation_without
        and _is_trusted(recipe, row)
    ]
    rng = np.random.default_rng([recipe.seed, 6])
    by_source: dict[str, list[Row]] = {}
    for number in rng.permutation(len(candidates)):
        by_source.setdefault(candidates[number].source, []).append(candidates[number])
    queues = [by_source[source] for source in sorted(by_source)]
    turns = [queue[turn] for turn in range(len(candidates)) for queue in queues if turn < len(queue)]
    return turns[: recipe.data.validation_photos]


def open_kit(recipe: Recipe, photos: Sequence[Row], backgrounds: Sequence[Row], cache_dir: Path) -> Kit:
    """Cut-outs and backgrounds of the training split; held-out backgrounds stay out."""
    data = recipe.data
    key = (data.cutout_side_px, data.cutout_sources, data.harvested_cutouts, recipe.seed)
    cutouts = _store(cache_dir, "cutouts", photos, key, lambda: cutout_samples(recipe, photos))
    grounds, _ = split_backgrounds(backgrounds)
    side = scene_limit_px(max(phase.canvas_px for phase in recipe.phases))
    places = _store(cache_dir, "grounds", grounds, side, lambda: ground_samples(grounds, side))
    return Kit(
        StoredCutouts(cutouts, ["exact"]),
        StoredCutouts(cutouts, ["rough"]),
        StoredPhotos(places, "room"),
        StoredPhotos(places, "surface"),
    )


def scene_limit_px(canvas_px: int) -> int:
    """Longest side of scenes for a canvas."""
    return round(canvas_px * SCENE_MARGIN)


def pack(image: RgbImage, alpha: Alpha) -> RgbaImage:
    """Image and target as the four channels of a stored sample."""
    return np.dstack([image, np.rint(alpha * 255).astype(np.uint8)])


def photo_samples(rows: Sequence[Row], long_side_px: int) -> Samples:
    """Photos with a background of their own, shrunk, grouped by source."""
    for row in rows:
        if row.mask is not None and not is_cutout(row):
            image, alpha = load_photo(row)
            yield row.source, pack(shrink(image, long_side_px), shrink(alpha, long_side_px))


def cutout_samples(recipe: Recipe, photos: Sequence[Row]) -> Samples:
    """Groups `exact` and `rough`: cut-outs of the named sources, and whole objects out of other photos."""
    data = recipe.data
    named = [row for row in photos if row.source in data.cutout_sources]
    scenes = [row for row in photos if row.source not in data.cutout_sources and row.category == "product"]
    rows = named + harvest(scenes, data.harvested_cutouts, recipe.seed)
    for row, cutout in load_cutouts(rows, data.cutout_side_px):
        yield "exact" if is_cutout(row) else "rough", pack(cutout.image, cutout.alpha)


def ground_samples(rows: Sequence[Row], long_side_px: int) -> Samples:
    """Groups `room` and `surface`."""
    for row in rows:
        image, alpha = load_photo(row)
        small = shrink(image, 2 * long_side_px)
        yield "room" if row.source == "room" else "surface", pack(small, shrink(alpha, 2 * long_side_px))


def scene_samples(recipe: Recipe, kit: Kit, limit_px: int) -> Samples:
    """Groups `composite` and `empty` (one in eight); every sample has a generator of its own."""
    for number in range(recipe.data.cached_scenes):
        rng = np.random.default_rng([recipe.seed, 4, number])
        yield "composite", scene(rng, kit, limit_px, recipe.scenes)
        if number % HOLDOUT_EVERY == 0:
            yield "empty", empty_scene(rng, kit, limit_px, recipe.scenes)


def split_backgrounds(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Backgrounds (for training, held out): every eighth of each source is held out."""
    train: list[Row] = []
    held: list[Row] = []
    for source in sorted({row.source for row in rows}):
        for number, row in enumerate(row for row in rows if row.source == source):
            (held if number % HOLDOUT_EVERY == HOLDOUT_EVERY - 1 else train).append(row)
    return train, held


def _is_trusted(recipe: Recipe, row: Row) -> bool:
    """A pseudo-label counts when a person accepted it, or nobody looked and the model was sure."""
    if row.accepted:
        return row.accepted == "yes"
    return row.confidence is None or row.confidence >= recipe.data.min_confidence


def _store(cache_dir: Path, name: str, rows: Sequence[Row], key: object, samples: Callable[[], Samples]) -> Store:
    digest = hashlib.sha256(repr((FORMAT, key)).encode())
    for row in rows:
        files = [(path.name, path.stat().st_size) for path in (row.image, row.mask) if path is not None]
        digest.update(repr((row.source, row.name, files)).encode())
    folder = cache_dir / f"{name}-{digest.hexdigest()[:12]}"
    if not is_complete(folder):
        write_store(folder, samples())
    return Store(folder)
