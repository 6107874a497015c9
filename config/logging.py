"""structlog over the standard library: one line an event, constant event names, data as keywords.

What the libraries log (uvicorn, Celery, SQLAlchemy, warnings, exceptions that end a thread or the process) takes the
same way. Every event is scrubbed before it is written, whoever logged it: see `config.scrubbing`.
"""

import logging
import sys
import threading
from types import TracebackType

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from config.scrubbing import scrub_value
from config.settings import Settings

# httpx logs every URL at INFO, and a signed URL is a secret. uvicorn's access log has query strings in it; the
# application writes its own. Celery tells of every doorbell, which the workers tell in their own words.
_QUIET = (
    "httpx",
    "httpcore",
    "kombu",
    "amqp",
    "celery.beat",
    "celery.worker.strategy",
    "celery.app.trace",
    "uvicorn.access",
)
# Started by its own command, uvicorn gives these handlers of its own.
_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access")


def configure_logging(settings: Settings, **always: str) -> None:
    """Send structlog's and the libraries' records to stderr in one format; call once per process.

    `always` stands in every line of the process, such as `worker`.
    """
    is_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())

    def add_always(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**always, **event}

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_always,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,  # as text, without the values of variables
                _scrub,
                structlog.processors.JSONRenderer() if is_json else _console(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    logging.captureWarnings(capture=True)
    for name in _UVICORN:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    if is_json:
        sys.excepthook = _log_end_of_process
        threading.excepthook = _log_end_of_thread


def _console() -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, sort_keys=False
    )


def _scrub(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: scrub_value(name, value) for name, value in event.items()}


def _log_end_of_process(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """What nobody caught, as a line like any other. Ctrl-C is no error."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    structlog.get_logger(__name__).critical("process_broke", exc_info=(kind, error, traceback))


def _log_end_of_thread(args: threading.ExceptHookArgs) -> None:
    """Likewise of a thread."""
    if args.exc_value is None or issubclass(args.exc_type, SystemExit):
        return
    name = args.thread.name if args.thread else None
    info = (args.exc_type, args.exc_value, args.exc_traceback)
    structlog.get_logger(__name__).critical("thread_broke", thread=name, exc_info=info)
