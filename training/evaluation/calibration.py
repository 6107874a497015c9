"""What a model's confidence is worth, and the limits of its verdict, by nested cross-validation.

The score is the chance that the cutout has an IoU of at least 0.9, a logistic curve over the logit of the raw
confidence (Platt 1999): two numbers, which 300 photos can bear. Limits are chosen on scores of photos that the curve
has not seen (inner folds); what they do is counted on photos that neither curve nor limits have seen (outer folds).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.evaluation.candidates import OwnModel
from training.evaluation.figures import THRESHOLD
from training.manifest import Row, load_photo
from vision.calibration import Calibration

GOOD_IOU = 0.9
POOR_IOU = 0.8
FOUND_IOU = 0.5
"""From here on the product was found, well or badly: calling such a photo empty is wrong."""
POOR_AMONG_PASSED = 0.05
LOST_TO_FAIL = 0.005
"""At most these shares are allowed when limits are chosen: poor cutouts among the passed, found products failed."""
FOLDS = 5
BINS = 6
_SEED = 20261124
_RIDGE = 1e-3
_NEWTON_STEPS = 30
_Z = 1.959964

Floats: TypeAlias = NDArray[np.float64]
VERDICTS = ("pass", "review", "fail")
GROUPS = (
    f"IoU >= {GOOD_IOU}",
    f"{POOR_IOU} to {GOOD_IOU}",
    f"{FOUND_IOU} to {POOR_IOU}",
    f"IoU < {FOUND_IOU}",
    "no product",
)


class CalibrationError(Exception):
    """The photos cannot bear a calibration; the message says what is missing."""


@dataclass(frozen=True)
class Sample:
    """A photo: raw confidence and the delivered matte's IoU at 0.5; `iou` is None where there is no product."""

    name: str
    source: str
    confidence: float
    iou: float | None

    @property
    def is_good(self) -> bool:
        """What the score foretells."""
        return self.iou is not None and self.iou >= GOOD_IOU

    @property
    def group(self) -> str:
        """One of `GROUPS`."""
        if self.iou is None:
            return GROUPS[4]
        return GROUPS[int(self.iou < GOOD_IOU) + int(self.iou < POOR_IOU) + int(self.iou < FOUND_IOU)]


@dataclass(frozen=True)
class Share:
    """`count` of `n`, with the Wilson interval (95 %) of the share."""

    count: int
    n: int
    low: float
    high: float


@dataclass(frozen=True)
class Bin:
    """Photos of similar score: what was foretold, and how many were good."""

    score: float
    good: Share


@dataclass(frozen=True)
class Reliability:
    """How the score fares on photos that it has not seen. `counts`: verdict by the score alone -> group -> photos."""

    bins: tuple[Bin, ...]
    brier: float
    expected_calibration_error: float
    counts: dict[str, dict[str, int]]
    poor_among_passed: Share
    found_but_failed: Share
    empties_failed: Share

    def to_json(self) -> dict[str, Any]:
        """As written beside the figures."""
        return asdict(self)


def collect(model: OwnModel, rows: Iterable[Row], report: Callable[[str], None] = print) -> list[Sample]:
    """Run the product over photos; rows without a mask are photos without a product."""
    samples = []
    for number, row in enumerate(rows, start=1):
        image, truth = load_photo(row)
        made = model.make(image)[model.titles[1].name]
        mask, wanted = made.alpha >= THRESHOLD, truth >= THRESHOLD
        iou = None if row.mask is None else int((mask & wanted).sum()) / max(1, int((mask | wanted).sum()))
        confidence = made.facts.confidence if made.facts is not None else None
        samples.append(Sample(f"{row.source}/{row.name}", row.source, confidence or 0.0, iou))
        if number % 50 == 0:
            report(f"{number} photos")
    return samples


def leave_out(rows: Sequence[Row], sources: Sequence[str]) -> list[Row]:
    """Photos of other sources. CalibrationError where a source has no photo, as a misspelt one would leave out none."""
    if missing := sorted(set(sources) - {row.source for row in rows}):
        known = ", ".join(sorted({row.source for row in rows}))
        raise CalibrationError(f"no photo is of the source {missing[0]!r}; there are {known}")
    return [row for row in rows if row.source not in sources]


def calibrate(samples: Sequence[Sample]) -> tuple[Calibration, Reliability]:
    """The calibration from all samples, and what such a one does on photos it has not seen.

    CalibrationError with fewer than 5 good, 5 other or 5 empty photos.
    """
    kinds = [sum(s.is_good for s in samples), sum(s.iou is not None and not s.is_good for s in samples)]
    kinds.append(sum(s.iou is None for s in samples))
    if min(kinds) < FOLDS:
        raise CalibrationError(
            f"{kinds[0]} photos with an IoU of at least {GOOD_IOU}, {kinds[1]} others and {kinds[2]} without a "
            f"product: at least {FOLDS} of each are needed"
        )
    folds = _folds(samples)
    scores = np.empty(len(samples))
    verdicts = np.empty(len(samples), object)
    for fold in range(FOLDS):
        held = np.flatnonzero(folds == fold)
        made = fit([samples[i] for i in np.flatnonzero(folds != fold)])
        for i in held:
            scores[i] = made.score(samples[i].confidence)
            verdicts[i] = verdict_of(made, scores[i])
    return fit(samples), _reliability(samples, scores, list(verdicts))


def fit(samples: Sequence[Sample]) -> Calibration:
    """Curve from all samples, limits from scores that inner folds gave to the photos they left out."""
    slope, intercept = _logistic([s for s in samples if s.iou is not None])
    folds, unseen = _folds(samples), np.empty(len(samples))
    for fold in range(FOLDS):
        inner = [samples[i] for i in np.flatnonzero(folds != fold) if samples[i].iou is not None]
        curve = _curve(*_logistic(inner))
        for i in np.flatnonzero(folds == fold):
            unseen[i] = curve.score(samples[i].confidence)
    fail_below = _fail_limit(samples, unseen)
    review_below = max(fail_below, _review_limit(samples, unseen))
    empties = sum(s.iou is None for s in samples)
    return Calibration(slope, intercept, review_below, fail_below, len(samples) - empties, empties)


def verdict_of(calibration: Calibration, score: float) -> str:
    """The verdict that follows from the score alone; other findings can still ask for a look."""
    if score < calibration.fail_below:
        return "fail"
    return "review" if score < calibration.review_below else "pass"


def wilson(count: int, n: int) -> Share:
    """Share with its Wilson score interval (1927); 0 to 1 when there is nothing to count."""
    if n == 0:
        return Share(0, 0, 0.0, 1.0)
    share, z2 = count / n, _Z * _Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = _Z / (1 + z2 / n) * float(np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)))
    return Share(count, n, max(0.0, middle - reach), min(1.0, middle + reach))


def _curve(slope: float, intercept: float) -> Calibration:
    return Calibration(slope, intercept, 1.0, 0.0, 0, 0)


def _logits(samples: Sequence[Sample]) -> Floats:
    clipped = np.clip([s.confidence for s in samples], 1e-4, 1 - 1e-4)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float64)


def _logistic(samples: Sequence[Sample]) -> tuple[float, float]:
    """Maximum likelihood by Newton's method; a small ridge keeps a perfectly separable set finite.

    The slope is held above zero: a score that falls with confidence would be nonsense.
    """
    x = np.stack([_logits(samples), np.ones(len(samples))], axis=1)
    y = np.array([s.is_good for s in samples], np.float64)
    weights = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-x @ weights))
        gradient = x.T @ (y - p) - _RIDGE * weights
        hessian = (x * (p * (1 - p))[:, None]).T @ x + _RIDGE * np.eye(2)
        weights += np.linalg.solve(hessian, gradient)
    return max(float(weights[0]), 1e-3), float(weights[1])


def _folds(samples: Sequence[Sample]) -> NDArray[np.int64]:
    """Fold of each sample; every source and group is dealt out evenly."""
    rng = np.random.default_rng(_SEED)
    order = sorted(range(len(samples)), key=lambda i: (samples[i].group, samples[i].source, rng.random()))
    folds = np.empty(len(samples), np.int64)
    folds[order] = np.arange(len(samples)) % FOLDS
    return folds


def _fail_limit(samples: Sequence[Sample], scores: Floats) -> float:
    """As many empty photos below it as possible, with hardly a found product."""
    found = np.sort(scores[[s.iou is not None and s.iou >= FOUND_IOU for s in samples]])
    # At the score of the first product that may not be lost, or a little below: verdicts fail below a limit.
    return float(found[int(LOST_TO_FAIL * len(found))]) * 0.9


def _review_limit(samples: Sequence[Sample], scores: Floats) -> float:
    """The lowest limit at which no more than the allowed share of passed photos is poor."""
    photos = np.array([s.iou is not None for s in samples])
    order = np.argsort(-scores[photos], kind="stable")
    ranked = scores[photos][order]
    poor = np.array([s.iou < POOR_IOU for s in samples if s.iou is not None])[order]
    share = np.cumsum(poor) / np.arange(1, len(poor) + 1)
    fine = np.flatnonzero(share <= POOR_AMONG_PASSED)
    return float(ranked[fine[-1]]) if fine.size else 1.0


def _reliability(samples: Sequence[Sample], scores: Floats, verdicts: Sequence[str]) -> Reliability:
    photos = np.array([s.iou is not None for s in samples])
    seen, good = scores[photos], np.array([s.is_good for s in samples if s.iou is not None], np.float64)
    bins, error = [], 0.0
    for part in np.array_split(np.argsort(seen, kind="stable"), BINS):
        bins.append(Bin(float(seen[part].mean()), wilson(int(good[part].sum()), len(part))))
        error += abs(float(seen[part].mean() - good[part].mean())) * len(part) / len(seen)
    counts = {verdict: dict.fromkeys(GROUPS, 0) for verdict in VERDICTS}
    for sample, verdict in zip(samples, verdicts, strict=True):
        counts[verdict][sample.group] += 1
    passed, failed = counts["pass"], counts["fail"]
    totals = {group: sum(counts[verdict][group] for verdict in VERDICTS) for group in GROUPS}
    found = GROUPS[:3]
    return Reliability(
        tuple(bins),
        float(np.square(seen - good).mean()),
        error,
        counts,
        wilson(passed[GROUPS[2]] + passed[GROUPS[3]], sum(passed[group] for group in GROUPS[:4])),
        wilson(sum(failed[group] for group in found), sum(totals[group] for group in found)),
        wilson(failed[GROUPS[4]], totals[GROUPS[4]]),
    )
