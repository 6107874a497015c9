"""Product cut-outs that composites are made of."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from training.manifest import Row, load_photo, shrink
from vision.arrays import Alpha, Mask, RgbImage

SHADOW_IN_ALPHA = "saleor"
"""Cut-outs of this shop carry a drop shadow in their alpha, of at most `SHADOW_ALPHA`."""
SHADOW_ALPHA = 0.45


def is_cutout(row: Row) -> bool:
    """Whether a row's alpha is its own and exact; the others have masks, whose edges hold a rim of background."""
    return row.mask == row.image


@dataclass(frozen=True)
class Cutout:
    """A product without background, cropped to itself."""

    image: RgbImage
    alpha: Alpha


def load_cutouts(rows: Iterable[Row], long_side_px: int) -> Iterator[tuple[Row, Cutout]]:
    """Rows and their cut-outs, at most `long_side_px` long, but no product that fills under 1 % of its photo."""
    for row in rows:
        image, alpha = load_photo(row)
        image, alpha = shrink(image, long_side_px), shrink(alpha, long_side_px)
        if SHADOW_IN_ALPHA in row.name:
            alpha = np.clip((alpha - SHADOW_ALPHA) / (1 - SHADOW_ALPHA), 0, 1)
        if not is_cutout(row):
            alpha = without_rim(alpha)
        if (alpha > 0.5).mean() > 0.01:  # noqa: PLR2004
            yield row, cropped(image, alpha)


def is_whole(alpha: Alpha) -> bool:
    """Whether a mask shows one object that the frame does not cut: 4 % to 60 % of the area, off the border."""
    mask = alpha > 0.5  # noqa: PLR2004
    on_border = mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
    return bool(not on_border and 0.04 <= mask.mean() <= 0.6 and _is_one_piece(mask))  # noqa: PLR2004


def harvest(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """Up to `count` rows, drawn by seed, whose mask `is_whole`."""
    order = np.random.default_rng([seed, 3]).permutation(len(rows))
    found: list[Row] = []
    for position in order:
        if len(found) == count:
            break
        if is_whole(load_photo(rows[position])[1]):
            found.append(rows[position])
    return found


def without_rim(alpha: Alpha) -> Alpha:
    """Pull a hard mask's edge inwards by about a pixel and soften it."""
    blurred = cv2.GaussianBlur(alpha, (0, 0), 1.2)
    return np.clip((blurred - 0.45) / 0.5, 0, 1).astype(np.float32)


def cropped(image: RgbImage, alpha: Alpha) -> Cutout:
    """Cut to the bounding box of alpha above 0.05. ValueError when there is none."""
    rows, columns = np.nonzero(alpha > 0.05)  # noqa: PLR2004
    if not len(rows):
        raise ValueError("an empty alpha has no bounding box")
    window = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    return Cutout(np.ascontiguousarray(image[window]), np.ascontiguousarray(alpha[window]))


def _is_one_piece(mask: Mask) -> bool:
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    return bool(areas.max() > 0.95 * areas.sum())
