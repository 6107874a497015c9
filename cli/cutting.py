"""Photos to files on one machine, without a service: decoding and encoding run beside the forward pass."""

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cli.plan import Item, Result
from config.settings import Settings
from jobs.params import JobParams
from vision.arrays import Logits
from vision.codec.header import Limits, probe
from vision.cutout import ExistingAlpha, Subject, make_cutout, prepare_subject
from vision.errors import ImageError
from vision.qc import judge
from vision.segmenters.looks import Prepared
from worker.boundary import contain, job_error
from worker.decoders import DecoderPool
from worker.microbatch import look_at_each
from worker.models import StagedSegmenter
from worker.outputs import make_output

_AHEAD = 2
"""Microbatches decoded, or being decoded, before their forward."""


@dataclass(frozen=True)
class _Photo:
    item: Item
    subject: Subject
    prepared: Prepared | None
    started_at: float


class Cutter:
    """`run` takes items and reports a result for each, in the order in which they are done.

    Memory is bounded by `pipeline_megapixels` of the settings. One bad photo fails alone.
    """

    def __init__(
        self, settings: Settings, segmenter: StagedSegmenter, decoders: DecoderPool, params: JobParams
    ) -> None:
        self._settings = settings
        self._segmenter = segmenter
        self._decoders = decoders
        self._params = params
        self._limits = limits_of(settings)
        cores = os.cpu_count() or 1
        self._intake = ThreadPoolExecutor(settings.decode_processes or min(2, cores), "intake")
        self._finish = ThreadPoolExecutor(settings.encode_threads or min(4, cores), "finish")
        self._megapixels: dict[Item, float] = {}
        self._ahead: deque[tuple[Item, Future[_Photo | Exception]]] = deque()
        self._finishing: dict[Future[Result | Exception], Item] = {}

    def run(self, items: Iterable[Item], report: Callable[[Result], None]) -> None:
        """Work until all items are done. An exception (Ctrl-C) cancels what has not begun and leaves no half file."""
        waiting = iter(items)
        try:
            while self._top_up(waiting, report) or self._ahead or self._finishing:
                self._collect(report)
                if self._ahead:
                    self._forward(report)
                elif self._finishing:
                    wait(self._finishing, return_when=FIRST_COMPLETED)
        finally:
            self._intake.shutdown(cancel_futures=True)
            self._finish.shutdown(cancel_futures=True)

    def _top_up(self, waiting: Iterator[Item], report: Callable[[Result], None]) -> bool:
        """Start decoding while there is room; True when the items are not used up for sure."""
        while len(self._ahead) < _AHEAD * self._settings.microbatch_images and self._has_room():
            item = next(waiting, None)
            if item is None:
                return False
            megapixels = contain(partial(self._size, item))
            if isinstance(megapixels, Exception):
                report(_failed(item, megapixels))
                continue
            self._megapixels[item] = megapixels
            self._ahead.append((item, self._intake.submit(contain, partial(self._take, item))))
        return True

    def _has_room(self) -> bool:
        return sum(self._megapixels.values()) < self._settings.pipeline_megapixels

    def _size(self, item: Item) -> float:
        return probe(item.photo, self._limits, animated=self._params.animated).megapixels

    def _take(self, item: Item) -> _Photo:
        started_at = time.perf_counter()
        with self._decoders.submit(item.photo.read_bytes(), self._params.animated).result() as decoded:
            alpha = None if decoded.alpha is None else decoded.alpha.astype(np.float32) / np.float32(255)
            subject = prepare_subject(decoded.image, alpha, ExistingAlpha(self._params.existing_alpha))
        prepared = self._segmenter.prepare(subject.seen) if subject.needs_network else None
        return _Photo(item, subject, prepared, started_at)

    def _forward(self, report: Callable[[Result], None]) -> None:
        """One forward over the photos that are ready, at least one; then on to the finishing threads."""
        photos: list[_Photo] = []
        while self._ahead and len(photos) < self._settings.microbatch_images:
            item, future = self._ahead[0]
            if photos and not future.done():
                break
            self._ahead.popleft()
            taken = future.result()
            if isinstance(taken, Exception):
                self._end(_failed(item, taken), report)
            else:
                photos.append(taken)
        asked = [(photo, photo.prepared) for photo in photos if photo.prepared is not None]
        maps = look_at_each(self._segmenter, [(photo.subject.seen, prepared) for photo, prepared in asked])
        logits = {photo.item: found for (photo, _), found in zip(asked, maps, strict=True)}
        for photo in photos:
            found = logits.get(photo.item)
            if isinstance(found, Exception):
                self._end(_failed(photo.item, found), report)
            else:
                result = self._finish.submit(contain, partial(self._write, photo, found))
                self._finishing[result] = photo.item

    def _write(self, photo: _Photo, logits: Logits | None) -> Result:
        made = make_cutout(photo.subject, logits)
        [output] = self._params.outputs
        write_whole(photo.item.output, make_output(made.foreground, made.alpha, asdict(made.facts), output).file)
        judgement = judge(made.facts, self._segmenter.calibration)
        reasons = tuple(reason.value for reason in judgement.reasons)
        return Result(photo.item, judgement.verdict.value, reasons, took_s=time.perf_counter() - photo.started_at)

    def _collect(self, report: Callable[[Result], None]) -> None:
        for future in [future for future in self._finishing if future.done()]:
            item = self._finishing.pop(future)
            result = future.result()
            self._end(_failed(item, result) if isinstance(result, Exception) else result, report)

    def _end(self, result: Result, report: Callable[[Result], None]) -> None:
        self._megapixels.pop(result.item, None)
        report(result)


def limits_of(settings: Settings) -> Limits:
    """What a photo may be."""
    return Limits(max_megapixels=settings.max_megapixels, max_bytes=settings.max_upload_bytes)


def _failed(item: Item, error: Exception) -> Result:
    if isinstance(error, OSError):
        return Result(item, problem=f"{item.photo.name}: {error.strerror}")
    if isinstance(error, ImageError):
        return Result(item, problem=f"{error.code}: {error.detail}")
    known = job_error(error)
    return Result(item, problem=f"{known.code}: {known.detail}")


def write_whole(path: Path, body: bytes) -> None:
    """Write beside, sync, rename: the file is there with all its bytes, or not at all. `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp is for the owner alone; a cutout is as open as any file of this user.
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The process's mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
