"""A gate for changes: no slice may fall behind an earlier report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.evaluation.candidates import NETWORK, PRODUCT
from training.evaluation.figures import FIGURES
from training.evaluation.summary import SCHEMA

GATED = ("iou", "biou", "wf", "mae")
TOLERANCE = 0.005
_COMPARED = tuple((candidate, figure) for candidate in (NETWORK, PRODUCT) for figure in GATED)


class GateError(Exception):
    """The baseline can't be compared with this run."""


def read(path: Path) -> dict[str, Any]:
    """An earlier report.json. GateError when the file can't be read, or is no report of this version."""
    try:
        baseline = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GateError(f"{path} is no report: {error}") from error
    try:
        if baseline["schema"] != SCHEMA:
            raise GateError(f"{path} is no report of this version ({SCHEMA})")
        parts = [part for slices in baseline["slices"].values() for part in slices.values()]
        means = [_mean(part["figures"], name, figure) for part in parts for name, figure in _COMPARED]
        counts = [part["n"] for part in parts]
    except (AttributeError, KeyError, TypeError) as error:
        raise GateError(f"{path} is no whole report: {type(error).__name__} {error}") from error
    if not parts or not all(mean is None or isinstance(mean, int | float) for mean in means):
        raise GateError(f"{path} is no whole report: figures are missing")
    if not all(isinstance(count, int) for count in counts):
        raise GateError(f"{path} is no whole report: numbers of photos are missing")
    return dict(baseline)


def falls(baseline: Mapping[str, Any], summary: Mapping[str, Any], *, tolerance: float = TOLERANCE) -> list[str]:
    """A sentence for each slice and figure that got worse by more than `tolerance`; empty when the gate is open.

    Both are reports' JSON. The network and the product are compared each with itself. GateError when the
    baseline holds a slice that this run has no photos of, or another number of them: then something was lost.
    """
    found: list[str] = []
    for dimension, slices in baseline["slices"].items():
        for name, before in slices.items():
            now = summary["slices"].get(dimension, {}).get(name)
            if now is None or now["n"] != before["n"]:
                photos = 0 if now is None else now["n"]
                raise GateError(f"{dimension} {name}: {before['n']} photos in the baseline, {photos} in this run")
            found += _compare(f"{dimension} {name}", before["figures"], now["figures"], tolerance)
    return found


def _compare(title: str, before: Mapping[str, Any], now: Mapping[str, Any], tolerance: float) -> list[str]:
    found = []
    for candidate, figure in _COMPARED:
        old, new = _mean(before, candidate, figure), _mean(now, candidate, figure)
        if old is None or new is None:
            continue
        worse = old - new if FIGURES[figure].is_better_high else new - old
        if worse > tolerance:
            found.append(f"{title}: {FIGURES[figure].label} of the {candidate} from {old:.4f} to {new:.4f}")
    return found


def _mean(figures: Mapping[str, Any], candidate: str, figure: str) -> float | None:
    mean: float | None = figures[candidate][figure]["mean"]
    return mean
