"""Where a gpu worker's models come from: the package, and the registry with its weights in the store."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import structlog

from config.settings import Settings
from db import registry as rows
from db.session import Sessions
from jobs.models import Models, installed_models
from jobs.registry import read
from storage.port import Storage
from vision.segmenters.checksum import WeightsError, file_sha256
from vision.segmenters.loading import load_segmenter
from vision.segmenters.runtimes import RuntimeOptions
from vision.segmenters.spec import WEIGHTS_FOLDER, ModelSpec
from worker.models import StagedSegmenter

log = structlog.get_logger(__name__)


class PackagedModels:
    """The models that come with the package: what a command without a service has."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._packaged = installed_models()

    def models(self) -> Models:
        """All that can be run."""
        return self._packaged

    def ids(self) -> Mapping[str, str]:
        """Name or id -> id, as of now."""
        return self.models().ids

    def load(self, model_id: str) -> StagedSegmenter:
        """The segmenter of an id, warm. WeightsError for weights that do not fit, ValueError for an unknown id."""
        spec = self.models().find(model_id)
        if spec is None:
            raise ValueError(f"there is no model {model_id}")
        settings = self._settings
        options = RuntimeOptions(
            threads=settings.threads, cache_dir=settings.data_dir / "models", microbatch=settings.microbatch_images
        )
        segmenter = load_segmenter(spec, self.folder(spec), runtime=settings.runtime, options=options)
        segmenter.warm_up(sorted({1, settings.microbatch_images}))
        log.info("model_loaded", model=segmenter.version, runtime=segmenter.runtime)
        return segmenter

    def folder(self, spec: ModelSpec) -> Path:
        """Where the weights lie."""
        del spec
        return WEIGHTS_FOLDER


class RegisteredModels(PackagedModels):
    """Those of the registry too; weights are copied from the store once per machine and checked."""

    def __init__(self, settings: Settings, sessions: Sessions, storage: Storage) -> None:
        super().__init__(settings)
        self._sessions = sessions
        self._storage = storage
        self._cache = settings.data_dir / "models" / "imported"

    def models(self) -> Models:
        """As the database has them now. One of `DATABASE_AWAY`."""
        with self._sessions() as session:
            return read(session, self._packaged)

    def folder(self, spec: ModelSpec) -> Path:
        """Where the weights lie; ObjectNotFoundError, StorageUnavailableError, WeightsError."""
        if self._packaged.find(spec.model_id) is not None:
            return WEIGHTS_FOLDER
        # The sha256 tells a-b@1 from a@b-1, whose files have one name.
        folder = self._cache / spec.weights_sha256
        path = folder / spec.weights_name
        if not path.is_file() or file_sha256(path) != spec.weights_sha256:
            with self._sessions() as session:
                row = rows.find(session, spec.model_id)
            if row is None:
                raise WeightsError(f"{spec.model_id} is not in the registry any more")
            self._fetch(row.key, path)
        return folder

    def _fetch(self, key: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two workers may start at once: each writes a file of its own.
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        with self._storage.open(key) as stored, draft.open("wb") as file:
            shutil.copyfileobj(stored, file, 1 << 20)
        draft.replace(path)
