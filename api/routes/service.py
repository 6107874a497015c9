"""What the service is and how it fares."""

from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text
from starlette.staticfiles import StaticFiles

from api import error_docs
from api.auth import Authenticated, Caller
from api.context import Context, InContext
from api.metrics import WORKER_KINDS
from api.openapi import problems
from api.problems import ProblemError
from api.schemas import Health, KeyLimits, Limits, ModelList, ModelObject, Readiness
from db import workers
from db.session import DATABASE_AWAY
from storage.port import StorageUnavailableError
from vision.codec.signature import INPUT_FORMATS
from vision.formats import FORMATS

router = APIRouter()


@router.get("/v1/limits", responses=problems(401, 503), tags=["service"], summary="Limits")
def read_limits(context: InContext, caller: Authenticated) -> Limits:
    """What may be sent, how long results stay, and what the key may ask for."""
    settings = context.settings
    return Limits(
        max_upload_bytes=settings.max_upload_bytes,
        max_megapixels=settings.max_megapixels,
        input_formats=list(INPUT_FORMATS),
        output_formats=list(FORMATS),
        files_retention_s=int(settings.files_retention.total_seconds()),
        rows_retention_s=int(settings.rows_retention.total_seconds()),
        key=KeyLimits(**vars(context.limiter.quotas(caller))),
    )


@router.get("/v1/models", responses=problems(401, 503), tags=["service"], summary="Models")
def read_models(context: InContext, _caller: Caller) -> ModelList:
    """The models that a job can name."""
    return ModelList(
        data=[
            ModelObject(
                id=spec.model_id,
                name=spec.name,
                version=spec.version,
                is_default=context.models.is_default(spec, context.settings.model),
            )
            for spec in context.models.specs
        ]
    )


@router.get("/healthz", tags=["health"], summary="Liveness")
def read_health() -> Health:
    """The process is alive; it asks nobody else."""
    return Health()


@router.get("/readyz", responses=problems(503), tags=["health"], summary="Readiness")
def read_readiness(context: InContext) -> Readiness:
    """Ready when database and store work.

    Broker and workers are told and no more: without them jobs are still accepted, and wait.
    """
    live = _live_workers(context)
    checks = {
        "database": "unreachable" if live is None else "ok",
        "storage": "ok" if _storage_works(context) else "unreachable",
        "broker": "ok" if context.doorbell.is_reachable() else "unreachable",
    }
    if live is None or checks["storage"] != "ok":
        away = " and ".join(name for name in ("database", "storage") if checks[name] != "ok")
        raise ProblemError("service_not_ready", f"Not reachable: {away}.", extra={"checks": checks})
    return Readiness(checks=checks, workers=live)


@router.get("/metrics", include_in_schema=False)
def read_metrics(context: InContext) -> Response:
    """Prometheus text format."""
    return Response(context.metrics.render(), media_type=CONTENT_TYPE_LATEST)


def _live_workers(context: Context) -> dict[str, int] | None:
    """Live workers by kind, or None while the database is away."""
    try:
        with context.sessions.begin() as session:
            session.execute(text("SET LOCAL statement_timeout = 2000"))
            kinds = [worker.kind for worker in workers.live(session, within_s=context.workers_within_s)]
    except DATABASE_AWAY:
        return None
    return {kind: kinds.count(kind) for kind in WORKER_KINDS}


def _storage_works(context: Context) -> bool:
    try:
        context.storage.check()
    except StorageUnavailableError:
        return False
    return True


def add_docs(app: FastAPI) -> None:
    """The interactive documentation at `/docs`. Its assets come with a package, so it needs no internet."""
    app.mount("/docs/assets", StaticFiles(directory=str(files("fastapi_offline") / "static")))

    @app.get("/docs/errors", include_in_schema=False)
    def read_errors() -> HTMLResponse:
        return HTMLResponse(error_docs.html())

    @app.get("/docs", include_in_schema=False)
    def read_docs(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        page = get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title=app.title,
            swagger_js_url=f"{root}/docs/assets/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/docs/assets/swagger-ui.css",
            swagger_favicon_url=f"{root}/docs/assets/favicon.png",
        )
        page.headers["Content-Security-Policy"] = (
            "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
        )
        return page
