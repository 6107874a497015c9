"""What a model's own doubt is worth: from raw confidence to a score, and the limits at which a verdict changes.

Each version of a model carries its own, measured by `packshot calibrate`; nothing here needs more than the
standard library, as sidecars are read everywhere.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

_EDGE = 1e-4


@dataclass(frozen=True)
class Calibration:
    """Measured on photos with known alpha and on photos without a product."""

    slope: float
    intercept: float
    """score = sigmoid(slope * logit(confidence) + intercept): the chance that the cutout has an IoU of 0.9."""
    review_below: float
    """A score below it wants a look."""
    fail_below: float
    """A score below it means that there is most likely no product."""
    photos: int
    empties: int
    """How many photos with and without a product it rests on."""

    def score(self, confidence: float) -> float:
        """Score in [0, 1] of a raw confidence in [0, 1]; grows with it."""
        clipped = min(max(confidence, _EDGE), 1 - _EDGE)
        return 1 / (1 + math.exp(-(self.slope * math.log(clipped / (1 - clipped)) + self.intercept)))

    def to_json(self) -> dict[str, Any]:
        """As it stands in a sidecar."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Back from a sidecar. TypeError for missing or unknown fields, ValueError for limits out of order."""
        made = cls(**fields)
        if not 0 <= made.fail_below <= made.review_below <= 1 or made.slope <= 0:
            raise ValueError(
                f"limits {made.fail_below}, {made.review_below} must rise from 0 to 1, slope {made.slope} > 0"
            )
        return made
