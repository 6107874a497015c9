"""`packshot health`: whether the process in this container does its work; exit status 0 or 1."""

import socket
from enum import StrEnum
from typing import Annotated

import httpx
import typer

from cli.output import console, fail
from config.settings import Settings
from db import workers
from db.session import DATABASE_AWAY, build_engine, build_sessions

_API_TIMEOUT_S = 3
_BEATS = 4


class Part(StrEnum):
    """What is asked after."""

    API = "api"
    GPU = "gpu"
    IO = "io"
    SWEEPER = "sweeper"


def health(part: Annotated[Part, typer.Argument(help="Which process of this machine.")]) -> None:
    """Ask whether a process of this machine does its work: the API answers, a worker's heartbeat is fresh.

    A worker's heartbeat ends when its loop stands still, so this tells progress, not that a process exists. While the
    database is away nobody can beat, and restarting would mend nothing: that counts as healthy.
    """
    settings = Settings(log_level="error")
    problem = _api_problem(settings) if part is Part.API else _worker_problem(settings, part.value)
    if problem is not None:
        raise fail(problem)
    console.print("ok")


def _api_problem(settings: Settings) -> str | None:
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104
    try:
        reply = httpx.get(f"http://{host}:{settings.port}/healthz", timeout=_API_TIMEOUT_S, trust_env=False)
    except httpx.TransportError as error:
        return f"The API does not answer: {type(error).__name__}."
    return None if reply.is_success else f"The API answers {reply.status_code}."


def _worker_problem(settings: Settings, kind: str) -> str | None:
    engine = build_engine(settings.require_database_url(), pool_size=1)
    within_s = _BEATS * settings.heartbeat_s
    try:
        with build_sessions(engine)() as session:
            live = [row.name for row in workers.live(session, within_s=within_s) if row.kind == kind]
    except DATABASE_AWAY:
        return None
    finally:
        engine.dispose()
    here = f"@{socket.gethostname()}"
    if any(name.endswith(here) for name in live):
        return None
    return f"No {kind} worker of this machine was heard of within {within_s:.0f} s."
