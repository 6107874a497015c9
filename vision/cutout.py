"""From a photo and the network's logits to alpha and foreground: the one way, for the command and for the workers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from vision.arrays import Alpha, Logits, RgbImage
from vision.compose import WHITE, flatten
from vision.foreground import estimate_foreground
from vision.numeric import in_16bit_steps, sigmoid
from vision.qc import Facts, confidence_of, measure
from vision.refine import refine

USED_ALPHA_SHARE = 0.001
"""An alpha plane counts as used when at least this share of its pixels is not opaque."""


class ExistingAlpha(StrEnum):
    """What to do with a photo that comes with alpha."""

    AUTO = "auto"  # an alpha that is really used is the matte; the network is not asked
    IGNORE = "ignore"  # laid over white, the network decides
    MULTIPLY = "multiply"  # the network decides within what the alpha leaves


@dataclass(frozen=True)
class Subject:
    """A decoded photo with the rule for its own alpha applied."""

    image: RgbImage
    """Colours of the product: straight ones where the alpha is kept, else laid over white."""
    seen: RgbImage
    """What network and refinement look at; the same array when there is no alpha."""
    own_alpha: Alpha | None
    """Alpha that came with the photo and counts."""
    needs_network: bool


@dataclass(frozen=True)
class Cutout:
    """Everything that outputs are made of."""

    alpha: Alpha
    foreground: RgbImage
    facts: Facts
    stage_s: dict[str, float]
    """Seconds of refine, foreground and qc."""


def is_alpha_used(alpha: Alpha | None) -> bool:
    """Whether a share of pixels that matters is not opaque; many files carry an alpha of 255 throughout."""
    return alpha is not None and float((alpha < 1).mean()) >= USED_ALPHA_SHARE


def prepare_subject(image: RgbImage, alpha: Alpha | None, rule: ExistingAlpha = ExistingAlpha.AUTO) -> Subject:
    """Apply `rule` to a photo and the alpha it came with, if any. image: (H, W, 3), alpha: (H, W)."""
    if alpha is None or not is_alpha_used(alpha):
        return Subject(image, image, None, needs_network=True)
    if rule is ExistingAlpha.AUTO:
        return Subject(image, image, alpha, needs_network=False)
    seen = flatten(image, alpha, WHITE)
    if rule is ExistingAlpha.IGNORE:
        return Subject(seen, seen, None, needs_network=True)
    return Subject(image, seen, alpha, needs_network=True)


def make_cutout(subject: Subject, logits: Logits | None) -> Cutout:
    """Refine, find the foreground's colours, measure.

    logits: (h, w) float32 of the photo without padding, as `vision.segmenters.looks.look_at` gives them, when
    `subject.needs_network`, else None.
    """
    if subject.needs_network != (logits is not None):
        raise ValueError("logits are wanted exactly when the subject needs the network")
    stage_s: dict[str, float] = {}
    with _timed(stage_s, "refine"):
        alpha = _alpha(subject, logits)
    with _timed(stage_s, "foreground"):
        # Colours under an alpha of the caller's own are straight already.
        foreground = subject.image if logits is None else estimate_foreground(subject.image, alpha)
    with _timed(stage_s, "qc"):
        facts = measure(alpha, None if logits is None else confidence_of(sigmoid(logits)))
    return Cutout(alpha, foreground, facts, stage_s)


def _alpha(subject: Subject, logits: Logits | None) -> Alpha:
    own = None if subject.own_alpha is None else in_16bit_steps(subject.own_alpha)
    if logits is None:
        if own is None:
            raise ValueError("a subject without the network needs an alpha of its own")
        return own
    alpha = refine(subject.seen, logits)
    return alpha if own is None else in_16bit_steps(alpha * own)


@contextmanager
def _timed(stage_s: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    stage_s[stage] = time.perf_counter() - start
