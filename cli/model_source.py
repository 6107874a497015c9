"""Where commands find models: the registry where there is a database, else the package."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.keys import open_sessions
from cli.output import fail
from config.settings import Settings
from db.session import DATABASE_AWAY, Sessions

if TYPE_CHECKING:
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
