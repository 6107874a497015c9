"""The list of photos that a model may learn from, and its checks before anything is computed."""

import csv
import os
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args

import cv2
import numpy as np

from training.reading import ReadError, as_share, read_mask, read_picture
from vision.arrays import Alpha, RgbImage

_Pixels = TypeVar("_Pixels", RgbImage, Alpha)

ALPHA_CHANNEL = "(alpha channel)"
"""In the mask column: the mask is the image's own alpha."""
LicenceClass = Literal["cc0", "permissive", "nc", "research", "unknown"]
LICENCE_CLASSES: tuple[LicenceClass, ...] = get_args(LicenceClass)


class ManifestError(Exception):
    """The data cannot be trained on; the message names every offending row."""


@dataclass(frozen=True)
class Row:
    """One photo of the manifest. `mask` is None for backgrounds; `foreground` is the optional column of that name."""

    split: str
    source: str
    name: str
    category: str
    image: Path
    mask: Path | None
    licence_class: str
    foreground: Path | None = None
    """A picture of the product's true colours, where somebody knows them."""
    confidence: float | None = None
    """Of a pseudo-label; None when a person drew the mask."""
    accepted: str = ""
    """What a person said of a pseudo-label: `yes`, `no` or nothing."""


def read_manifest(data_dir: Path, licences: Collection[str] = LICENCE_CLASSES) -> list[Row]:
    """Rows of `data_dir/manifest.csv` whose licence class is among `licences`, paths made absolute."""
    if unknown := set(licences) - set(LICENCE_CLASSES):
        raise ManifestError(f"unknown licence classes {sorted(unknown)}; known: {', '.join(LICENCE_CLASSES)}")
    with (data_dir / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [_row(fields, data_dir) for fields in csv.DictReader(file)]
    return [row for row in rows if row.licence_class in licences]


def select(rows: Iterable[Row], split: str, sources: Collection[str] | None = None) -> list[Row]:
    """Rows of one split, of all sources or the named ones, in the manifest's order."""
    return [row for row in rows if row.split == split and (sources is None or row.source in sources)]


def check_rows(rows: Sequence[Row]) -> None:
    """Decode all files, and raise ManifestError naming every row that cannot be learnt from.

    That is: a file that is missing or cannot be read to its end, a mask of another size or without any product, a
    cut-out without transparency.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(_problem, rows)
        problems = [f"{row.source}/{row.name}: {problem}" for row, problem in zip(rows, found, strict=True) if problem]
    if problems:
        raise ManifestError(f"{len(problems)} bad rows:\n" + "\n".join(problems))


def load_photo(row: Row) -> tuple[RgbImage, Alpha]:
    """Upright image (H, W, 3) uint8 sRGB and alpha (H, W) float32 in [0, 1]; alpha is all 0 for a background.

    ReadError when a file cannot be read.
    """
    photo = read_picture(row.image)
    if row.mask is None:
        return photo.image, np.zeros(photo.image.shape[:2], np.float32)
    if row.mask != row.image:
        return photo.image, read_mask(row.mask)
    return photo.image, np.ones(photo.image.shape[:2], np.float32) if photo.alpha is None else as_share(photo.alpha)


def load_foreground(row: Row) -> RgbImage | None:
    """The product's true colours, (H, W, 3) uint8: of the photo itself where it comes with its alpha, else as named."""
    path = row.image if row.mask == row.image else row.foreground
    return None if path is None else read_picture(path).image


def shrink(array: _Pixels, long_side_px: int) -> _Pixels:
    """Shrink so that the longer side is at most `long_side_px`; never enlarges."""
    height, width = array.shape[:2]
    scale = long_side_px / max(height, width)
    if scale >= 1:
        return array
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA).astype(array.dtype)


def _row(fields: dict[str, str], data_dir: Path) -> Row:
    image = data_dir / fields["image"]
    named = {"": None, ALPHA_CHANNEL: image}
    mask = named[fields["mask"]] if fields["mask"] in named else data_dir / fields["mask"]
    return Row(
        fields["split"],
        fields["source"],
        fields["name"],
        fields["category"],
        image,
        mask,
        fields["licence_class"],
        data_dir / fields["foreground"] if fields.get("foreground") else None,
        float(fields["confidence"]) if fields.get("confidence") else None,
        (fields.get("accepted") or "").strip().lower(),
    )


def _problem(row: Row) -> str | None:
    for path in (row.image, row.mask, row.foreground):
        if path is not None and not path.is_file():
            return f"{path} is missing"
    try:
        (image, alpha), foreground = load_photo(row), load_foreground(row)
    except (ReadError, OSError) as error:
        return str(error)
    for name, other in (("mask", alpha), ("foreground", foreground)):
        if other is not None and other.shape[:2] != image.shape[:2]:
            return f"image is {_size(image)} px, {name} {_size(other)}"
    if row.mask is None:
        return None
    if row.mask == row.image and alpha.min() == 1:
        return "the image has no transparency to be its mask"
    return None if alpha.any() else "the mask is empty"


def _size(pixels: RgbImage | Alpha) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
