"""The HTTP application. `uvicorn --factory api.app:from_environment`, or `create_app` with settings at hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from api import handlers
from api.context import Context
from api.limits import Limiter
from api.metrics import Metrics
from api.middleware import RequestMiddleware
from api.openapi import DESCRIPTION, describe
from api.routes import (
    batch_files,
    batch_submissions,
    batches,
    events,
    files,
    jobs,
    keys,
    links,
    outputs,
    rembg,
    removebg,
    service,
    uploads,
    webhook_deliveries,
    webhook_endpoints,
)
from api.stopping import on_stop_signal
from api.watch import Watcher
from config.logging import configure_logging
from config.settings import Settings
from config.tracing import Tracing, build_tracing
from db.session import build_autocommit, build_engine, build_sessions
from dispatch.celery_app import build_celery
from dispatch.counters import Counters
from dispatch.doorbell import Doorbell
from jobs.egress import Policy
from jobs.models import Models, installed_models
from jobs.registry import Catalog
from storage.guarded import open_guarded

# Starlette runs routes in up to forty threads; more connections than this would only wait for the disk together.
_POOL_SIZE = 10


def from_environment() -> FastAPI:
    """The application as the environment's `PACKSHOT_*` variables set it."""
    settings = Settings()
    configure_logging(settings)
    return create_app(settings)


def create_app(settings: Settings, *, models: Models | None = None, tracing: Tracing | None = None) -> FastAPI:
    """Build the application; nothing is called before the first request, so neither database nor broker must be up.

    `models` are those in the package and `tracing` as the settings say unless given. `ValueError` where database or
    broker URL are not set.
    """
    models = installed_models() if models is None else models
    engine = build_engine(settings.require_database_url(), pool_size=_POOL_SIZE)
    sessions = build_sessions(engine)
    metrics = Metrics(sessions, workers_within_s=4 * settings.heartbeat_s, waiting=lambda: watcher.waiting)
    counters = Counters(settings)
    watcher = Watcher(
        settings.require_database_url(), sessions, poll_s=settings.watch_poll_s, max_waiting=settings.max_waiting
    )
    storage = open_guarded(settings)
    metrics.follow(storage)
    context = Context(
        settings=settings,
        sessions=sessions,
        autocommit=build_autocommit(engine),
        storage=storage,
        doorbell=Doorbell(settings, build_celery(settings)),
        catalog=Catalog(sessions, models),
        egress=Policy.from_settings(settings),
        workers_within_s=4 * settings.heartbeat_s,
        metrics=metrics,
        watcher=watcher,
        limiter=Limiter(settings, counters, sessions, metrics),
        tracing=tracing or build_tracing(settings, "api"),
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with watcher.running():
            with on_stop_signal(watcher.stop):
                yield
        context.doorbell.close()
        counters.close()
        engine.dispose()
        context.tracing.close()

    app = FastAPI(
        title="Packshot",
        version=version("packshot"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        # A redirect would send the caller's key once more, to another spelling of the same path.
        redirect_slashes=False,
        # Its own tells of query strings, which may sign links. Ours is `config.tracing`.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.context = context
    for room in (
        jobs,
        outputs,
        links,
        files,
        events,
        batches,
        batch_submissions,
        batch_files,
        uploads,
        webhook_endpoints,
        webhook_deliveries,
        keys,
        removebg,
        rembg,
        service,
    ):
        app.include_router(room.router)
    service.add_docs(app)
    handlers.install(app)
    describe(app)
    app.add_middleware(RequestMiddleware, metrics=context.metrics, tracing=context.tracing)
    return app
