"""`packshot api`, `packshot worker`, `packshot migrate`: the processes of a deployment, one each."""

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.output import console, fail
from config.logging import configure_logging
from config.settings import Settings
from db.migrate import alembic_config, upgrade


class WorkerKind(StrEnum):
    """What a worker does."""

    GPU = "gpu"
    IO = "io"
    SWEEPER = "sweeper"


def api() -> None:
    """Serve the HTTP API."""
    import uvicorn

    from api.app import create_app

    settings = Settings()
    configure_logging(settings)
    # Logging is ours; the access log is written by the application, with the job's id in it.
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )


def worker(kind: Annotated[WorkerKind, typer.Argument(help="What the worker does.")]) -> None:
    """Run a worker: gpu makes cutouts, io fetches and delivers, sweeper finds what got lost."""
    from worker.app import run
    from worker.heartbeat import worker_name

    settings = Settings()
    configure_logging(settings, worker=worker_name(kind.value))
    raise typer.Exit(run(kind.value, settings))


def migrate() -> None:
    """Bring the database to the newest schema."""
    settings = Settings()
    if settings.database_url is None:
        raise fail("PACKSHOT_DATABASE_URL is not set; `packshot up` migrates its own database by itself.")
    upgrade(settings.require_database_url())
    console.print("The database is up to date.")


def revision(text: Annotated[str, typer.Argument(help="What changes, in a few words.")]) -> None:
    """Write a migration from the difference between the models and the migrations; for developers."""
    from alembic import command

    from cli.embedded import EmbeddedDatabase

    # In /tmp: as root the server runs under a user of its own, which must reach the folder.
    with tempfile.TemporaryDirectory(prefix="packshot-revision-") as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedDatabase(Path(folder, "postgres"))
        try:
            upgrade(server.url)
            command.revision(alembic_config(server.url), message=text, autogenerate=True)
        finally:
            server.stop()
