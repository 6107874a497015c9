"""Intervals of means over photos, and of the difference of two models on the same photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
FEWEST = 6
"""Photos below which nothing is significant: five of five in a row happen by chance once in sixteen times."""
_SEED = 20261124

Outcome: TypeAlias = Literal["win", "loss", "tie"]


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % percentile bootstrap interval; `n` photos with the figure defined."""

    n: int
    mean: float
    low: float
    high: float


def interval(values: Sequence[float]) -> Interval:
    """Of the mean over photos (Efron and Tibshirani 1993, chapter 13). NaNs are left out; all NaN gives NaN."""
    defined = np.array([value for value in values if np.isfinite(value)], np.float64)
    if not defined.size:
        nan = float("nan")
        return Interval(0, nan, nan, nan)
    low, high = _bounds(defined)
    return Interval(defined.size, float(defined.mean()), low, high)


def paired(ours: Sequence[float], theirs: Sequence[float], *, is_better_high: bool) -> tuple[Interval, Outcome]:
    """Interval of the mean of ours - theirs over the same photos, and whether that is a win.

    A win or a loss is significant: the interval lies on one side of zero, over at least six photos.
    """
    difference = interval([one - other for one, other in zip(ours, theirs, strict=True)])
    if difference.n < FEWEST or difference.low <= 0 <= difference.high:
        return difference, "tie"
    return difference, "win" if (difference.mean > 0) == is_better_high else "loss"


def _bounds(values: NDArray[np.float64]) -> tuple[float, float]:
    draws = np.random.default_rng(_SEED).integers(0, values.size, (RESAMPLES, values.size))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values[draws].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)
