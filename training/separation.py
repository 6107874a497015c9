"""Statistics of a matte that tell a product from none, and a good matte from a bad one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluate import Predict
from training.manifest import Row, load_photo
from vision.arrays import Alpha

STATISTICS = ("peak", "area", "sure_area", "certainty", "unsure_share")


def matte_statistics(alpha: Alpha) -> dict[str, float]:
    """Figures that need no truth.

    `peak`: the 99.9th percentile. `area`: share above 0.5. `sure_area`: share above 0.9. `certainty`: mean
    alpha where above 0.5, 0 when there is none. `unsure_share`: pixels in (0.1, 0.9) per pixel above 0.5.
    """
    inside = alpha > 0.5  # noqa: PLR2004
    count = int(inside.sum())
    unsure = int(((alpha > 0.1) & (alpha < 0.9)).sum())  # noqa: PLR2004
    return {
        "peak": float(np.quantile(alpha, 0.999)),
        "area": float(inside.mean()),
        "sure_area": float((alpha > 0.9).mean()),  # noqa: PLR2004
        "certainty": float(alpha[inside].mean()) if count else 0.0,
        "unsure_share": unsure / count if count else float(unsure > 0),
    }


@dataclass(frozen=True)
class Judged:
    """A photo's statistics and its IoU at 0.5; `iou` is None for a photo without a product."""

    name: str
    statistics: dict[str, float]
    iou: float | None


def judge(predict: Predict, rows: Iterable[Row]) -> list[Judged]:
    """Statistics of every row's alpha; backgrounds have no IoU."""
    judged = []
    for row in rows:
        image, truth = load_photo(row)
        alpha = predict(image)
        inside, wanted = alpha >= 0.5, truth >= 0.5  # noqa: PLR2004
        union = int((inside | wanted).sum())
        iou = None if row.mask is None else int((inside & wanted).sum()) / max(1, union)
        judged.append(Judged(f"{row.source}/{row.name}", matte_statistics(alpha), iou))
    return judged


@dataclass(frozen=True)
class Cut:
    """A threshold on one statistic: `below` of the wanted group and `kept` of the other lie at or above it."""

    statistic: str
    threshold: float
    caught: int
    caught_of: int
    wrongly: int
    wrongly_of: int


def best_cut(statistic: str, high: Sequence[Judged], low: Sequence[Judged]) -> Cut:
    """The threshold that best tells the group with high values from the one with low values.

    Best: the highest sum of both groups' shares on their own side. `caught` counts `low` below the threshold,
    `wrongly` counts `high` below it.
    """
    highs = np.array([each.statistics[statistic] for each in high])
    lows = np.array([each.statistics[statistic] for each in low])
    candidates = np.unique(np.concatenate([highs, lows]))
    gains = [(lows < value).mean() - (highs < value).mean() for value in candidates]
    threshold = float(candidates[int(np.argmax(gains))])
    below = (int((lows < threshold).sum()), int((highs < threshold).sum()))
    return Cut(statistic, threshold, below[0], len(lows), below[1], len(highs))
