"""A page of synthetic scenes, each beside its alpha: what a recipe learns from, to look at."""

import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from training.manifest import Row
from training.prepare import prepare, scene_limit_px
from training.recipe import Recipe
from training.synthesis import empty_scene, scene
from vision.arrays import RgbaImage, RgbImage
from vision.letterbox import resize

COLUMNS = 8
GAP_PX = 6
EMPTY_EVERY = 16


def contact_sheet(
    recipe: Recipe, rows: Sequence[Row], cache_dir: Path, count: int, side_px: int
) -> tuple[RgbImage, float]:
    """A page of `count` scenes of the last phase's size, every sixteenth without a product, and scenes a second."""
    kit = prepare(recipe, rows, cache_dir).kit
    limit = scene_limit_px(recipe.phases[-1].canvas_px)
    began = time.perf_counter()
    scenes = []
    for number in range(count):
        draw = empty_scene if number % EMPTY_EVERY == EMPTY_EVERY - 1 else scene
        scenes.append(draw(np.random.default_rng([recipe.seed, 7, number]), kit, limit, recipe.scenes))
    speed = count / (time.perf_counter() - began)
    return page([pair(each, side_px) for each in scenes]), speed


def pair(pixels: RgbaImage, side_px: int) -> RgbImage:
    """Photo and alpha side by side in a square each, on grey."""
    height, width = pixels.shape[:2]
    scale = side_px / max(height, width)
    small = resize(np.ascontiguousarray(pixels), (max(1, round(height * scale)), max(1, round(width * scale))))
    cell = np.full((side_px, 2 * side_px, 3), 90, np.uint8)
    cell[: small.shape[0], : small.shape[1]] = small[..., :3]
    cell[: small.shape[0], side_px : side_px + small.shape[1]] = small[..., 3:]
    return cell


def page(cells: Sequence[RgbImage]) -> RgbImage:
    """Cells of one size in rows of a few, with gaps."""
    columns = min(len(cells), COLUMNS // 2)
    height, width = cells[0].shape[:2]
    lines = -(-len(cells) // columns)
    sheet = np.full((lines * (height + GAP_PX), columns * (width + GAP_PX), 3), 255, np.uint8)
    for number, cell in enumerate(cells):
        top, left = (number // columns) * (height + GAP_PX), (number % columns) * (width + GAP_PX)
        sheet[top : top + height, left : left + width] = cell
    return sheet


def write_sheet(sheet: RgbImage, path: Path) -> None:
    """Write as the file's ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise OSError(f"{path} could not be written")
