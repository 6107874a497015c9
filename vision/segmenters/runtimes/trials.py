"""The quickest of several runtimes on the device at hand, found by trying them there."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import structlog

from vision.numeric import sigmoid
from vision.segmenters.base import SegmenterOutOfMemory
from vision.segmenters.runtimes.base import Batch, BatchLogits, Runtime

log = structlog.get_logger(__name__)

EAGER, GRAPHS, COMPILE = "torch-cuda", "torch-graphs-cuda", "torch-compile-cuda"

_WARM_UPS = 3
_RUNS = 9
_CLEARLY = 0.95
"""A later way is taken where it needs less than this share of the best time so far: earlier ways start quicker."""
_APART = 8 / 255
"""Largest difference of alpha between two ways that compute the same network; half precision stays below 2/255."""


_NO_WAY = (RuntimeError, SegmenterOutOfMemory, ImportError, OSError, subprocess.SubprocessError)
"""What PyTorch, a compiler that it calls, and the disk of its cache raise where a way does not work."""


@dataclass(frozen=True)
class Way:
    """One way to compute a network."""

    runtime: str
    channels_last: bool


Build = Callable[[Way], Runtime]


class Trials:
    """Ways measured on one microbatch, one after another; the quickest so far is kept loaded.

    What the first way raises goes on to the caller: it is the one that has to work, and what the others are held to.
    """

    def __init__(self, build: Build, first: Way, batch: Batch, *, clock: Callable[[], float]) -> None:
        self._build = build
        self._batch = batch
        self.microbatch = len(batch)
        self._clock = clock
        self.best = first
        self.runtime = build(first)
        self._expected, ms = self._measured(self.runtime)
        self.ms_per_photo = {first: ms}
        """Of each way that works here."""

    def may(self, way: Way) -> None:
        """Measure a way that a device, a driver or a missing compiler may rule out; the log says why."""
        try:
            runtime = self._build(way)
            logits, ms = self._measured(runtime)
        except _NO_WAY as error:
            log.warning("runtime_does_not_work_here", runtime=way.runtime, error=f"{type(error).__name__}: {error}")
            return
        apart = float(np.abs(sigmoid(logits) - sigmoid(self._expected)).max())
        if not apart <= _APART:
            log.warning("runtime_computes_something_else_here", runtime=way.runtime, apart=apart)
            return
        self.ms_per_photo[way] = ms
        if ms < _CLEARLY * self.ms_per_photo[self.best]:
            self.best, self.runtime = way, runtime

    def _measured(self, runtime: Runtime) -> tuple[BatchLogits, float]:
        """Logits, and milliseconds per photo: the median, since the first runs choose kernels and compile."""
        # The second size tells torch.compile that microbatches vary, as they will.
        runtime.run(self._batch[:1])
        for _ in range(_WARM_UPS):
            logits = runtime.run(self._batch)
        times = []
        for _ in range(_RUNS):
            start = self._clock()
            runtime.run(self._batch)
            times.append(self._clock() - start)
        return logits, float(np.median(times)) * 1000 / len(self._batch)


def quickest(
    build: Build, batch: Batch, *, kept: Path | None, clock: Callable[[], float] = time.perf_counter
) -> Runtime:
    """The quickest of PyTorch's ways on a CUDA device: layout first, then compiling and recording in the better one.

    `kept` is the file in which the choice stands for later starts, None for nowhere; its name tells all that decides.
    """
    if kept and (runtime := _as_kept(kept, build, batch)):
        return runtime
    trials = _begun(build, batch, clock)
    # Kept after each: whoever is ended in mid-trial has a choice when it starts again.
    _write(kept, trials.best)
    trials.may(Way(EAGER, channels_last=False))
    layout = trials.best.channels_last
    for name in (GRAPHS, COMPILE):
        _write(kept, trials.best)
        trials.may(Way(name, layout))
    _write(kept, trials.best)
    times = _named(trials.ms_per_photo)
    log.info("runtime_chosen", microbatch=trials.microbatch, **asdict(trials.best), ms_per_photo=times)
    return trials.runtime


def _begun(build: Build, batch: Batch, clock: Callable[[], float]) -> Trials:
    """With eager, on as large a part of the microbatch as fits."""
    while True:
        try:
            return Trials(build, Way(EAGER, channels_last=True), batch, clock=clock)
        except SegmenterOutOfMemory:
            if len(batch) == 1:
                raise
            batch = batch[: len(batch) // 2]


def _named(times: dict[Way, float]) -> dict[str, float]:
    return {f"{way.runtime}{'' if way.channels_last else ', planes'}": round(ms, 3) for way, ms in times.items()}


def _as_kept(kept: Path, build: Build, batch: Batch) -> Runtime | None:
    """The choice in a file, if it still works; None where there is none, or none that does."""
    try:
        values = json.loads(kept.read_text(encoding="utf-8"))
        way = Way({name: name for name in (EAGER, GRAPHS, COMPILE)}[values["runtime"]], bool(values["channels_last"]))
        runtime = build(way)
        runtime.run(batch)
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, *_NO_WAY) as error:
        log.warning("kept_choice_does_not_work", file=kept.name, error=f"{type(error).__name__}: {error}")
        return None
    return runtime


def _write(kept: Path | None, way: Way) -> None:
    if kept is None:
        return
    # Two workers may start at once: each writes a file of its own.
    draft = kept.with_name(f"{kept.name}.{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(asdict(way)), encoding="utf-8")
        draft.replace(kept)
    except OSError as error:
        log.warning("choice_is_not_kept", file=kept.name, error=f"{type(error).__name__}: {error}")
