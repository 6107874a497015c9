"""Figures of a model on photos with known alpha, and on photos without a product."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from training.manifest import LICENCE_CLASSES, Row, load_photo, read_manifest, select
from training.metrics import measure, summarise
from training.prepare import split_backgrounds
from vision.arrays import Alpha, Hw, RgbImage
from vision.letterbox import Letterbox
from vision.segmenters.network import SegmentationNetwork, load_network
from vision.segmenters.spec import WEIGHTS_FOLDER, read_spec

Predict = Callable[[RgbImage], Alpha]


@dataclass(frozen=True)
class Scored:
    """One photo: its row, the model's alpha at the photo's own size, the figures by name."""

    row: Row
    alpha: Alpha
    figures: dict[str, float]


def evaluate(
    stem: str,
    data_dir: Path,
    *,
    split: str = "dev",
    weights_dir: Path = WEIGHTS_FOLDER,
    out_dir: Path | None = None,
    licences: Collection[str] = LICENCE_CLASSES,
) -> dict[str, dict[str, float]]:
    """Figures per source for the model `stem`, such as `unet-fast-1`; see `training.metrics`.

    With `out_dir`, each alpha is written to SOURCE/NAME.png, 8 bit, at the photo's own size.
    """
    spec = read_spec(stem, weights_dir)
    predict = predictor(load_network(spec, weights_dir), spec.canvas_hw)
    by_source: dict[str, list[dict[str, float]]] = {}
    for scored in score(predict, select(read_manifest(data_dir, licences), split)):
        by_source.setdefault(scored.row.source, []).append(scored.figures)
        if out_dir is not None:
            path = out_dir / scored.row.source / f"{scored.row.name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.rint(scored.alpha * 255).astype(np.uint8))
    return {source: summarise(figures) for source, figures in sorted(by_source.items())}


def predictor(network: SegmentationNetwork, canvas_hw: Hw) -> Predict:
    """The network alone, without refinement: letterbox, logits, back to the photo's size, sigmoid."""

    @torch.inference_mode()
    def predict(image: RgbImage) -> Alpha:
        box = Letterbox.fit(image.shape[:2], canvas_hw)
        canvas = torch.from_numpy(box.apply(image).transpose(2, 0, 1)[None].copy()).float()
        logits = network(canvas)[0, 0].numpy()
        return torch.sigmoid(torch.from_numpy(box.invert(logits))).numpy()

    return predict


def score(predict: Predict, rows: Sequence[Row]) -> Iterator[Scored]:
    """Each photo's alpha and figures, one after the other."""
    for row in rows:
        image, truth = load_photo(row)
        alpha = predict(image)
        yield Scored(row, alpha, measure(truth, alpha))


def empty_photos(data_dir: Path) -> list[Row]:
    """The backgrounds that training holds out: photos without a dominant product."""
    return split_backgrounds(select(read_manifest(data_dir), "backgrounds"))[1]


def as_table(figures: dict[str, dict[str, float]]) -> str:
    """The figures as a Markdown table."""
    lines = ["| part | n | IoU | BIoU | MAE | grad_mse | wF | IoU < 0.8 |", "| --- " * 8 + "|"]
    for source, row in figures.items():
        lines.append(
            f"| {source} | {row['n']} | {row['iou']:.3f} | {row['biou']:.3f} | {row['mae']:.3f} "
            f"| {row['grad_mse']:.1f} | {row['wf']:.3f} | {row['under_08']} |"
        )
    return "\n".join(lines)
