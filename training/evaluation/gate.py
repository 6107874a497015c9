"""A gate for changes: no slice may fall behind an earlier report."""

from collections.abc import Mapping
from typing import Any

from training.evaluation.candidates import NETWORK, PRODUCT
from training.evaluation.figures import FIGURES
from training.evaluation.summary import SCHEMA

GATED = ("iou", "biou", "wf", "mae")
TOLERANCE = 0.005


class GateError(Exception):
    """The baseline can't be compared with this run."""


def falls(baseline: Mapping[str, Any], summary: Mapping[str, Any], *, tolerance: float = TOLERANCE) -> list[str]:
    """A sentence for each slice and figure that got worse by more than `tolerance`; empty when the gate is open.

    Both are reports' JSON. The network and the product are compared each with itself. GateError when the baseline is
    no report, or holds a slice that this run has no photos of, or another number of them: then something was lost.
    """
    if baseline.get("schema") != SCHEMA:
        raise GateError(f"the baseline is not a report of this version ({SCHEMA})")
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
    for candidate in (NETWORK, PRODUCT):
        for figure in GATED:
            old, new = before[candidate][figure]["mean"], now[candidate][figure]["mean"]
            if old is None or new is None:
                continue
            worse = old - new if FIGURES[figure].is_better_high else new - old
            if worse > tolerance:
                found.append(f"{title}: {FIGURES[figure].label} of the {candidate} from {old:.4f} to {new:.4f}")
    return found
