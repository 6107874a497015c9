"""One run: every photo through every candidate, figures with intervals by slice, paired comparisons, times."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from training.evaluation.candidates import Candidate, CandidateError, Made, OwnModel, Title
from training.evaluation.figures import Truth, measure_all
from training.evaluation.peers import OnnxPeer
from training.evaluation.slices import slices_of
from training.evaluation.stopwatch import Timing, time_all
from training.manifest import ManifestError, Row, load_foreground, load_photo
from vision.arrays import Alpha, RgbImage
from vision.compose import cutout
from vision.letterbox import resize
from vision.numeric import alpha_to_uint8

Report = Callable[[str], None]

THUMBNAIL_PX = 256


@dataclass(frozen=True)
class Thumbnails:
    """Small pictures for the report: the photo, and cutouts (RGBA) by the truth and by each candidate."""

    photo: RgbImage
    truth: RgbImage
    made: dict[str, RgbImage]


@dataclass(frozen=True)
class PhotoResult:
    """One photo: `figures` by candidate and name, `slices` by dimension."""

    name: str
    slices: dict[str, str]
    figures: dict[str, dict[str, float]]
    thumbnails: Thumbnails


@dataclass(frozen=True)
class Evaluation:
    """A whole run. The first two titles are the measured model's: the network alone and the product."""

    titles: tuple[Title, ...]
    photos: tuple[PhotoResult, ...]
    timings: dict[str, Timing]
    runtime: str
    threads: int
    split: str

    @property
    def model_id(self) -> str:
        """The measured model."""
        return self.titles[0].model


def evaluate(
    candidates: Sequence[Candidate],
    rows: Sequence[Row],
    *,
    threads: int,
    split: str = "dev",
    cache_dir: Path | None = None,
    alphas_dir: Path | None = None,
    report: Report = print,
) -> Evaluation:
    """Measure `candidates`, the model of ours first, on photos with known alpha.

    Peers' mattes are kept in `cache_dir` by all that decides them: `OnnxPeer.key` and the photo's pixels. `alphas_dir`
    receives the product's alphas as SOURCE/NAME.png. ManifestError when there is no photo to measure,
    CandidateError when two candidates have one name.
    """
    if not rows:
        raise ManifestError(f"there is no photo of the split {split!r}")
    titles = tuple(title for candidate in candidates for title in candidate.titles)
    if len({title.name for title in titles}) < len(titles):
        raise CandidateError("each model and each peer can be compared once, under a name of its own")
    photos: list[PhotoResult] = []
    for number, row in enumerate(rows):
        photos.append(_measure(candidates, row, cache_dir, alphas_dir))
        if (number + 1) % 25 == 0 or number + 1 == len(rows):
            report(f"{number + 1} of {len(rows)} photos")
    timings = time_all(candidates, rows)
    own = candidates[0]
    runtime = own.segmenter.runtime if isinstance(own, OwnModel) else ""
    return Evaluation(titles, tuple(photos), timings, runtime, threads, split)


def _measure(candidates: Sequence[Candidate], row: Row, cache_dir: Path | None, alphas_dir: Path | None) -> PhotoResult:
    image, alpha = load_photo(row)
    truth = Truth(image, alpha, load_foreground(row))
    figures: dict[str, dict[str, float]] = {}
    shown: dict[str, RgbImage] = {}
    for candidate in candidates:
        for name, made in _make(candidate, row, image, cache_dir):
            figures[name] = measure_all(truth, made.alpha, made.foreground)
            shown[name] = _thumbnail(image if made.foreground is None else made.foreground, made.alpha)
            if alphas_dir is not None and name == candidates[0].titles[-1].name:
                _write_alpha(alphas_dir / row.source / f"{row.name}.png", made.alpha)
    thumbnails = Thumbnails(_shrink(image), _thumbnail(image, alpha), shown)
    return PhotoResult(f"{row.source}/{row.name}", slices_of(row, image, alpha), figures, thumbnails)


def _make(candidate: Candidate, row: Row, image: RgbImage, cache_dir: Path | None) -> Iterator[tuple[str, Made]]:
    if cache_dir is None or not isinstance(candidate, OnnxPeer):
        yield from candidate.make(image).items()
        return
    name = candidate.manifest.name
    photo = hashlib.sha256(image.tobytes()).hexdigest()
    path = cache_dir / f"{name}-{candidate.key[:16]}" / row.source / f"{row.name}-{photo[:16]}.png"
    if not path.is_file():
        _write_alpha(path, candidate.make(image)[name].alpha)
    kept = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if kept is None or kept.shape != image.shape[:2]:
        raise ManifestError(f"{path} is not a matte of {row.source}/{row.name}; remove it")
    yield name, Made(kept.astype(np.float32) / np.float32(255))


def _write_alpha(path: Path, alpha: Alpha) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), alpha_to_uint8(alpha))


def _shrink(image: RgbImage) -> RgbImage:
    scale = min(1.0, THUMBNAIL_PX / max(image.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return resize(image, (height, width))


def _thumbnail(foreground: RgbImage, alpha: Alpha) -> RgbImage:
    """A small cutout, RGBA. Shrunk with its alpha laid under, which is near enough for eyes."""
    small = _shrink(foreground)
    small_alpha = resize(alpha, (small.shape[0], small.shape[1]))
    return cutout(small, small_alpha)
