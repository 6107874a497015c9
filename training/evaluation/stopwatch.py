"""Milliseconds per photo, all candidates in turn on the same photos, so that a busy machine is unfair to none."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from training.evaluation.candidates import Candidate
from training.manifest import Row, load_photo

PHOTOS = 8


@dataclass(frozen=True)
class Timing:
    """Medians over photos. `whole_ms` is from the decoded photo to the matte at its own size, refined where it is."""

    forward_ms: float
    whole_ms: float
    photos: int


def time_all(candidates: Sequence[Candidate], rows: Sequence[Row], *, photos: int = PHOTOS) -> dict[str, Timing]:
    """Timing of every candidate by the model's name or id, on photos spread over `rows`; the first run is not counted.

    A photo's forward counts with the best of two: what another process took from it is none of the model's.
    """
    chosen = list(rows[:: max(1, len(rows) // photos)])[:photos]
    forward: dict[str, list[float]] = {}
    whole: dict[str, list[float]] = {}
    for candidate in candidates:
        candidate.make(load_photo(chosen[0])[0])
    for row in chosen:
        image, _ = load_photo(row)
        for candidate in candidates:
            name = candidate.titles[0].model
            step = candidate.forward(image)
            forward.setdefault(name, []).append(min(_ms(step), _ms(step)))
            whole.setdefault(name, []).append(_ms(partial(candidate.make, image)))
    return {
        name: Timing(statistics.median(forward[name]), statistics.median(whole[name]), len(chosen)) for name in forward
    }


def _ms(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return (time.perf_counter() - start) * 1000
