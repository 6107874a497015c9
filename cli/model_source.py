"""Where commands find models: the registry where there is a database, else the package."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cli.keys import open_sessions
from cli.output import fail
from config.settings import Settings
from db.session import DATABASE_AWAY, Sessions

if TYPE_CHECKING:
    from training.evaluation.candidates import Found
    from worker.registry import PackagedModels


@contextmanager
def database_of(settings: Settings) -> Iterator[Sessions | None]:
    """The database, or None where there is none: no URL is set and no stack ever ran here."""
    if settings.database_url is None and not (settings.data_dir / "postgres").exists():
        yield None
        return
    with open_sessions(settings) as sessions:
        yield sessions


@contextmanager
def open_models(settings: Settings) -> Iterator["PackagedModels"]:
    """All models that can be run here. Exits with a message where the database or the store is away."""
    from storage.opening import open_storage
    from storage.port import StorageError
    from worker.registry import PackagedModels, RegisteredModels

    try:
        with database_of(settings) as sessions:
            if sessions is None:
                yield PackagedModels(settings)
            else:
                yield RegisteredModels(settings, sessions, open_storage(settings))
    except DATABASE_AWAY as error:
        raise fail(f"The database that holds the models can't be reached ({type(error).__name__}).") from error
    except StorageError as error:
        raise fail(f"The weights can't be read: {error}") from error


def find_model(word: str, settings: Settings) -> "Found":
    """The model that a sidecar's path, a name or an id means. CandidateError where there is none."""
    from training.evaluation.candidates import CandidateError, Found, read_sidecar

    if Path(word).suffix == ".json":
        return read_sidecar(Path(word))
    with open_models(settings) as source:
        spec = source.models().find(word)
        if spec is None:
            raise CandidateError(f"There is no model {word!r}; see `packshot models list`, or name a sidecar (*.json).")
        return Found(spec, source.folder(spec), is_released=True)


def training_source(word: str, settings: Settings) -> str:
    """What training takes weights from: checkpoints and sidecars as they are, else the id or the sidecar of a model.

    Packaged models go by their id, added ones by a sidecar beside their weights. CandidateError where there is none.
    """
    from vision.segmenters.spec import WEIGHTS_FOLDER

    if Path(word).suffix in {".ckpt", ".json"}:
        return word
    found = find_model(word, settings)
    if found.folder == WEIGHTS_FOLDER:
        return found.spec.model_id
    if not found.sidecar.is_file() or found.sidecar.read_text(encoding="utf-8") != found.spec.to_json():
        _write_whole(found.sidecar, found.spec.to_json())
    return str(found.sidecar)


def _write_whole(path: Path, text: str) -> None:
    # Each process of a training run does this at its start.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
