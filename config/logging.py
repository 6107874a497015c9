"""structlog over the standard library: one line an event, constant event names, data as keywords."""

import logging
import sys

import structlog
from structlog.typing import Processor

from config.settings import Settings


def configure_logging(settings: Settings) -> None:
    """Send structlog's and the libraries' records to stderr in one format; call once per process."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    # httpx logs every URL at INFO, and a signed URL is a secret.
    # Celery tells of every doorbell, which the workers tell in their own words.
    quiet = ("httpx", "httpcore", "kombu", "amqp", "celery.beat", "celery.worker.strategy", "celery.app.trace")
    for name in quiet:
        logging.getLogger(name).setLevel(logging.WARNING)
