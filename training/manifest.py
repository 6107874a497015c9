"""The list of photos that a model may learn from, and its checks before anything is computed."""

import csv
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

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
    """ManifestError naming every row with a missing file, a mask of another size or an empty mask."""
    problems = [f"{row.source}/{row.name}: {problem}" for row in rows if (problem := _problem(row))]
    if problems:
        raise ManifestError(f"{len(problems)} bad rows:\n" + "\n".join(problems))


def load_photo(row: Row) -> tuple[RgbImage, Alpha]:
    """Image (H, W, 3) uint8 sRGB and alpha (H, W) float32 in [0, 1]; alpha is all 0 for a background."""
    with Image.open(row.image) as file:
        if row.mask == row.image:
            pixels = np.asarray(file.convert("RGBA"))
            return np.ascontiguousarray(pixels[..., :3]), _alpha(pixels[..., 3])
        image = np.asarray(file.convert("RGB"))
    if row.mask is None:
        return image, np.zeros(image.shape[:2], np.float32)
    with Image.open(row.mask) as file:
        return image, _alpha(np.asarray(file.convert("L")))


def load_foreground(row: Row) -> RgbImage | None:
    """The product's true colours, (H, W, 3) uint8: of the photo itself where it comes with its alpha, else as named."""
    path = row.image if row.mask == row.image else row.foreground
    if path is None:
        return None
    with Image.open(path) as file:
        return np.asarray(file.convert("RGBA"))[..., :3].copy()


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
    if row.mask is None:
        return None
    with Image.open(row.image) as image, Image.open(row.mask) as mask:
        if image.size != mask.size:
            return f"image is {image.size[0]}x{image.size[1]} px, mask {mask.size[0]}x{mask.size[1]}"
        channel = mask.getchannel("A") if mask.mode == "RGBA" else mask.convert("L")
        if channel.getextrema()[1] == 0:
            return "the mask is empty"
    return None


def _alpha(channel: NDArray[np.uint8]) -> Alpha:
    return channel.astype(np.float32) / np.float32(255)
