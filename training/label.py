"""Pseudo-labels: a model's alphas of photos that nobody drew masks for, with its confidence."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from training.checkpoints import load_model
from training.reading import ReadError, read_picture
from vision.arrays import Alpha, RgbImage
from vision.letterbox import Letterbox
from vision.segmenters.network import SegmentationNetwork

FIELDS = ("split", "source", "name", "category", "image", "mask", "licence_class", "licence", "confidence", "accepted")
SOURCE = "pseudo"
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
MIN_AREA = 0.001
"""Share of the photo that a product fills at least; below, there is nothing to learn from."""


@dataclass(frozen=True)
class Counts:
    """What became of a folder of photos."""

    labelled: int
    refused: int


def label_folder(photos: Path, out: Path, model: str, licence_class: str, report: Callable[[str], None]) -> Counts:
    """Write `out/images`, `out/masks` and `out/manifest.csv`: a data folder for `packshot train`.

    The most doubtful photos come first in the manifest. A person may write `yes` or `no` into the column `accepted`;
    where it is empty, a recipe's `min_confidence` decides. Photos without a product, or that cannot be read, are
    reported and left out. A row is named after its photo's path, and one that a person answered stays as it is,
    picture and mask as well, whatever becomes of the photo; so do rows of other sources.
    """
    spec, network = load_model(model)
    kept = _kept(out / "manifest.csv")
    answered = {row["name"] for row in kept if row["source"] == SOURCE}
    rows: list[dict[str, str]] = []
    refused = 0
    for path in sorted(each for each in photos.rglob("*") if each.suffix.lower() in SUFFIXES):
        name = path.relative_to(photos).as_posix()
        if name in answered:
            continue
        try:
            image = read_picture(path).image
        except (ReadError, OSError) as error:
            report(str(error))
            refused += 1
            continue
        alpha, confidence = pseudo_label(network, spec.canvas_hw, image)
        if (alpha > 0.5).mean() < MIN_AREA:  # noqa: PLR2004
            report(f"{path}: no product found")
            refused += 1
            continue
        for folder, pixels in (("images", image), ("masks", np.rint(alpha * 255).astype(np.uint8))):
            file = out / folder / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
        values = ("train", SOURCE, name, "product", f"images/{name}.png", f"masks/{name}.png", licence_class)
        rows.append(
            dict(zip(FIELDS, (*values, f"pseudo-label of {spec.model_id}", f"{confidence:.4f}", ""), strict=True))
        )
    if answered:
        report(f"{len(answered)} rows that somebody answered stay as they are")
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "manifest.csv", [*sorted(rows, key=lambda row: float(row["confidence"])), *kept])
    return Counts(len(rows), refused)


@torch.inference_mode()
def pseudo_label(network: SegmentationNetwork, canvas_hw: tuple[int, int], image: RgbImage) -> tuple[Alpha, float]:
    """Mean alpha (H, W) of a photo and its mirror image, and the confidence in [0, 1].

    Confidence: how far the two agree (soft IoU), times how sure the mean is where it sees product.
    """
    box = Letterbox.fit(image.shape[:2], canvas_hw)
    canvas = torch.from_numpy(box.apply(image).transpose(2, 0, 1).copy()).float()
    logits = network(torch.stack([canvas, canvas.flip(2)]))[:, 0]
    views = [
        torch.sigmoid(torch.from_numpy(box.invert(each.numpy()))).numpy() for each in (logits[0], logits[1].flip(1))
    ]
    alpha = ((views[0] + views[1]) / 2).astype(np.float32)
    union = float(np.maximum(*views).sum())
    inside = alpha > 0.5  # noqa: PLR2004
    if not union or not inside.any():
        return alpha, 0.0
    return alpha, float(np.minimum(*views).sum()) / union * float(alpha[inside].mean())


def _kept(path: Path) -> list[dict[str, str]]:
    """Rows of an earlier manifest that hold a person's work: answers, and photos of other sources."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if row["source"] != SOURCE or (row.get("accepted") or "").strip()]


def _write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    fields = list(dict.fromkeys([*FIELDS, *(name for row in rows for name in row)]))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields, restval="")
        writer.writeheader()
        writer.writerows(rows)
