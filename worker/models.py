"""The models that a worker can run: one loaded at the start, others when a job asks for them or somebody promotes."""

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import structlog

from db.session import DATABASE_AWAY
from jobs.errors import JobError
from vision.calibration import Calibration
from vision.segmenters.looks import Looks
from worker.boundary import contain, is_passing

log = structlog.get_logger(__name__)


class StagedSegmenter(Looks, Protocol):
    """A segmenter in stages, see `vision.segmenters.unet.UnetSegmenter`.

    `prepare` may run in any thread; `predict` is called by one thread at a time.
    """

    @property
    def version(self) -> str:
        """Model id, such as `unet-fast@1`."""

    @property
    def runtime(self) -> str:
        """What computes it."""

    @property
    def calibration(self) -> Calibration | None:
        """What its confidence is worth; None until it was measured."""


class Models:
    """Segmenters by the name or id that jobs give; the empty name is the default."""

    def __init__(
        self,
        ids: Mapping[str, str],
        default: StagedSegmenter,
        load: Callable[[str], StagedSegmenter],
        *,
        default_word: str = "",
        read_ids: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        """`ids`: name or id -> id, all that can be run; `load` makes the segmenter of an id.

        `default_word`: the name whose version is the default, when `read_ids` tells what names stand for by now.
        """
        self._ids = dict(ids)
        self._load = load
        self._lock = threading.Lock()
        self._loaded = {default.version: default}
        self._default_word = default_word
        self._read_ids = read_ids
        self._refused: dict[str, str] = {}
        self.default = default

    @property
    def problem(self) -> str | None:
        """What it was told to run and can't; it goes on with the version before."""
        return "; ".join(f"{name}: {model_id} does not load" for name, model_id in self._refused.items()) or None

    def refresh(self) -> None:
        """See what names stand for by now; called between two microbatches, by the thread that runs them.

        A version in use that was replaced is loaded here, before any job gets it, so that none waits in vain: when that
        fails the one before goes on, and `problem` says so until something else is promoted. While the database is
        away nothing changes.
        """
        if self._read_ids is None:
            return
        try:
            told = self._read_ids()
        except DATABASE_AWAY:
            return
        ids = dict(told)
        for name, model_id in told.items():
            before = self._ids.get(name)
            if before is not None and before != model_id and before in self._loaded and not self._take(name, model_id):
                ids[name] = before
        self._refused = {name: bad for name, bad in self._refused.items() if told.get(name) == bad}
        self._ids = ids
        self._switch_default()

    def resolve(self, model: str) -> tuple[str, str]:
        """(model id, runtime) as this worker would run it, loading nothing; empty strings for an unknown model.

        A model that is not loaded is expected on the runtime of the default.
        """
        model_id = self._ids.get(model, "") if model else self.default.version
        loaded = self._loaded.get(model_id, self.default)
        return (model_id, loaded.runtime) if model_id else ("", "")

    def get(self, model: str) -> StagedSegmenter:
        """The segmenter, loaded on first use. `JobError`: `unknown_model`, `model_unavailable` where it does not load.

        A store or a database that is away is raised as it is: it will come back.
        """
        # A version in flight stays one that can be asked for, whatever its name stands for by now.
        model_id = model if model in self._loaded else self.resolve(model)[0]
        if not model_id:
            raise JobError("unknown_model", f"This worker has no model {model!r}.")
        made = contain(partial(self._segmenter, model_id))
        if not isinstance(made, Exception):
            return made
        if is_passing(made):
            raise made
        log.error("model_load_failed", model=model_id, error=repr(made))
        detail = f"The worker can't load {model_id}. The operator's log says more."
        raise JobError("model_unavailable", detail, retryable=True) from made

    def _take(self, name: str, model_id: str) -> bool:
        """Load a version that a name stands for from now on; False when it does not load."""
        if self._refused.get(name) == model_id:
            return False
        error = contain(partial(self._segmenter, model_id))
        if isinstance(error, Exception):
            self._refused[name] = model_id
            log.error("model_load_failed", name=name, model=model_id, kept=self._ids[name], error=repr(error))
            return False
        self._refused.pop(name, None)
        log.info("model_taken", name=name, model=model_id, before=self._ids[name])
        return True

    def _segmenter(self, model_id: str) -> StagedSegmenter:
        with self._lock:
            if model_id not in self._loaded:
                self._loaded[model_id] = self._load(model_id)
            return self._loaded[model_id]

    def _switch_default(self) -> None:
        """Follow the default's name. The version before stays loaded for what is in flight, older ones go."""
        now = self._loaded.get(self._ids.get(self._default_word, ""))
        if now is None or now is self.default:
            return
        before, self.default = self.default, now
        wanted = {now.version, before.version} | {each for word, each in self._ids.items() if word != each}
        with self._lock:
            self._loaded = {model_id: each for model_id, each in self._loaded.items() if model_id in wanted}
