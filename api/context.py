"""What the routes need, built once per application and handed to them as a dependency."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from api.limits import Limiter
from api.metrics import Metrics
from api.watch import Watcher
from config.settings import Settings
from config.tracing import Tracing
from db.session import Sessions
from dispatch.doorbell import Doorbell
from jobs.egress import Policy
from jobs.fields import Rules
from jobs.models import Models
from jobs.registry import Catalog
from storage.port import Storage


@dataclass(frozen=True)
class Context:
    """Settings and the ports to database, store and broker."""

    settings: Settings
    sessions: Sessions
    autocommit: Sessions  # for reads: each statement is a transaction of its own
    storage: Storage
    doorbell: Doorbell
    catalog: Catalog
    egress: Policy
    metrics: Metrics
    watcher: Watcher
    limiter: Limiter
    tracing: Tracing
    workers_within_s: float  # a worker not heard of for longer is not live

    @property
    def models(self) -> Models:
        """What jobs can name."""
        return self.catalog.models()

    @property
    def rules(self) -> Rules:
        """What the fields of a submission are judged by."""
        return Rules(self.models.names, self.settings.model, self.egress, self.settings.max_megapixels)

    def base_url(self, request: Request) -> str:
        """Base of the URLs in replies and webhooks, without a slash at its end."""
        return (self.settings.public_url or str(request.base_url)).rstrip("/")


async def get_context(request: Request) -> Context:
    """The application's context. Async, or it would be fetched in a thread."""
    return cast("Context", request.app.state.context)


InContext = Annotated[Context, Depends(get_context)]
