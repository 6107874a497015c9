"""Pseudo-labels: a model's alphas of photos that nobody drew masks for, with its confidence."""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from training.checkpoints import load_model
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
    reported and left out.
    """
    spec, network = load_model(model)
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str]] = []
    refused = 0
    for path in sorted(each for each in photos.rglob("*") if each.suffix.lower() in SUFFIXES):
        name = "-".join(path.relative_to(photos).with_suffix("").parts)
        try:
            with Image.open(path) as file:
                image = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
        except (UnidentifiedImageError, OSError) as error:
            report(f"{path}: {error}")
            refused += 1
            continue
        alpha, confidence = pseudo_label(network, spec.canvas_hw, image)
        if (alpha > 0.5).mean() < MIN_AREA:  # noqa: PLR2004
            report(f"{path}: no product found")
            refused += 1
            continue
        Image.fromarray(image).save(out / "images" / f"{name}.png")
        Image.fromarray(np.rint(alpha * 255).astype(np.uint8)).save(out / "masks" / f"{name}.png")
        values = ("train", SOURCE, name, "product", f"images/{name}.png", f"masks/{name}.png", licence_class)
        rows.append(
            dict(zip(FIELDS, (*values, f"pseudo-label of {spec.model_id}", f"{confidence:.4f}", ""), strict=True))
        )
    _write(out / "manifest.csv", sorted(rows, key=lambda row: float(row["confidence"])))
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


def _write(path: Path, rows: Iterable[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
