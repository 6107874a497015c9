"""An evaluation as JSON: means with intervals by slice, paired comparisons, times, and every photo's figures."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from training.evaluation.bootstrap import interval, paired
from training.evaluation.figures import FIGURES
from training.evaluation.run import Evaluation, PhotoResult
from training.evaluation.slices import DIMENSIONS

SCHEMA = "packshot-evaluation-1"
ALL = "all"
POOR_IOU = 0.8

Json = dict[str, Any]


def summarise(evaluation: Evaluation) -> Json:
    """Everything that the report, the card and the gate need. NaN becomes null.

    `slices`: dimension -> slice -> {"n", "figures": {candidate: {figure: {n, mean, low, high}}}, "poor": {candidate:
    photos with an IoU under 0.8}}; the dimension `all` has one slice. `paired`: the same, with ours - theirs.
    """
    slices: Json = {}
    pairs: Json = {}
    for dimension, name, photos in groups(evaluation.photos):
        slices.setdefault(dimension, {})[name] = _slice(evaluation, photos)
        if compared := _pairs(evaluation, photos):
            pairs.setdefault(dimension, {})[name] = compared
    ours = evaluation.timings[evaluation.model_id]
    summary = {
        "schema": SCHEMA,
        "model": evaluation.model_id,
        "split": evaluation.split,
        "runtime": evaluation.runtime,
        "threads": evaluation.threads,
        "candidates": [asdict(title) for title in evaluation.titles],
        "figures": {name: asdict(figure) for name, figure in FIGURES.items()},
        "timings": {name: asdict(timing) for name, timing in evaluation.timings.items()},
        "forward_ratios": {
            name: timing.forward_ms / ours.forward_ms
            for name, timing in evaluation.timings.items()
            if name != evaluation.model_id
        },
        "slices": slices,
        "paired": pairs,
        "photos": [
            {"name": photo.name, "slices": photo.slices, "figures": photo.figures} for photo in evaluation.photos
        ],
    }
    cleaned: Json = _without_nan(summary)
    return cleaned


def groups(photos: Sequence[PhotoResult]) -> Iterator[tuple[str, str, list[PhotoResult]]]:
    """(dimension, slice, photos), all photos first."""
    yield ALL, ALL, list(photos)
    for dimension in DIMENSIONS:
        for name in sorted({photo.slices[dimension] for photo in photos}):
            yield dimension, name, [photo for photo in photos if photo.slices[dimension] == name]


def column(photos: Sequence[PhotoResult], candidate: str, figure: str) -> list[float]:
    """One figure of one candidate over photos."""
    return [photo.figures[candidate][figure] for photo in photos]


def _slice(evaluation: Evaluation, photos: Sequence[PhotoResult]) -> Json:
    names = [title.name for title in evaluation.titles]
    return {
        "n": len(photos),
        "figures": {
            name: {figure: asdict(interval(column(photos, name, figure))) for figure in FIGURES} for name in names
        },
        "poor": {name: sum(iou < POOR_IOU for iou in column(photos, name, "iou")) for name in names},
    }


def _pairs(evaluation: Evaluation, photos: Sequence[PhotoResult]) -> Json:
    """Ours (network, product) -> other candidate -> figure -> difference and outcome.

    Against a peer both of ours are compared; against another model of ours, like with like.
    """
    compared: Json = {}
    for ours in evaluation.titles[:2]:
        for other in evaluation.titles[2:]:
            if other.kind in {"peer", ours.kind}:
                outcomes = {name: _outcome(photos, ours.name, other.name, name) for name in FIGURES}
                compared.setdefault(ours.name, {})[other.name] = outcomes
    return compared


def _outcome(photos: Sequence[PhotoResult], ours: str, theirs: str, figure: str) -> Json:
    difference, outcome = paired(
        column(photos, ours, figure),
        column(photos, theirs, figure),
        is_better_high=FIGURES[figure].is_better_high,
    )
    return {**asdict(difference), "outcome": outcome}


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
