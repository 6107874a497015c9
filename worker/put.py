"""One PUT of an output to its caller's URL: streamed from the store, no redirects, one deadline, no answer kept."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO

import structlog

from config.settings import Settings
from config.tracing import Kind, Silent, Tracing, attributes_of
from db.session import Sessions
from dispatch.doorbell import Doorbell
from dispatch.names import Bell
from jobs import puts
from jobs.egress import EgressRefusedError
from jobs.errors import JobError
from jobs.fetching import RetryTerms
from jobs.lifecycle import STORAGE_AWAY
from jobs.puts import ClaimedPut
from storage.port import ObjectNotFoundError, Storage, StorageUnavailableError
from vision.formats import MEDIA_TYPES
from worker.http import TRY_AGAIN, CallError, Deadline, HttpClient, retry_after_s
from worker.metrics import WorkerMetrics

log = structlog.get_logger(__name__)

_CHUNK_BYTES = 256 * 1024
_SUCCESS = range(200, 300)


class PutError(Exception):
    """A PUT that failed: what the job's error would be, and how long the server asked us to wait."""

    def __init__(self, detail: str, *, retryable: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(detail)
        self.error = JobError("put_failed", detail, retryable=retryable)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Putting:
    """What a PUT needs."""

    settings: Settings
    sessions: Sessions
    storage: Storage
    client: HttpClient
    bell: Doorbell
    tracing: Tracing = field(default_factory=Silent)
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)


def run(needs: Putting, put: ClaimedPut) -> None:
    """Send a claimed output and settle it. Never in a transaction meanwhile."""
    started = time.monotonic()
    settings = needs.settings
    failure = _try(needs, put)
    with needs.sessions.begin() as session:
        if failure is None:
            settled = puts.arrive(session, put)
        elif isinstance(failure, PutError):
            terms = RetryTerms(settings.put_max_tries, settings.retry_backoff_s)
            settled = puts.retry_or_fail(session, put, failure.error, terms, retry_after_s=failure.retry_after_s)
        else:
            settled = puts.put_off(session, put, backoff_s=settings.retry_backoff_s)
    needs.metrics.put("ok" if failure is None else _code(failure))
    log.info(
        "output_put",
        output=put.name,
        host=put.host,
        error=None if failure is None else str(failure),
        took_ms=round((time.monotonic() - started) * 1000),
        settled=settled,
    )
    if settled:
        needs.bell.ring(Bell.IO)  # where it was the last one, the job's webhook is due


def _try(needs: Putting, put: ClaimedPut) -> PutError | StorageUnavailableError | None:
    """One try, as a span with the code of what went wrong; None where nothing did."""
    about = {**attributes_of(put.about), "http.request.method": "PUT", "server.address": put.host}
    with needs.tracing.start("put", parent=put.traceparent, kind=Kind.CLIENT, attributes=about) as span:
        try:
            send(put, needs.settings, needs.client, needs.storage)
        except (PutError, StorageUnavailableError) as failure:
            span.fail(_code(failure))
            return failure
    return None


def _code(failure: PutError | StorageUnavailableError) -> str:
    return failure.error.code if isinstance(failure, PutError) else STORAGE_AWAY


def send(put: ClaimedPut, settings: Settings, client: HttpClient, storage: Storage) -> None:
    """ONE PUT. No database. `PutError`, `StorageUnavailableError` of our own store."""
    if put.tries > settings.put_max_tries:  # earlier tries took their workers with them
        raise PutError("The PUT broke off too often.")
    if put.key is None:
        raise PutError("The file is not there any more.")
    try:
        with (
            storage.open(put.key) as file,
            client.call(
                "PUT",
                put.url,
                deadline=Deadline(settings.put_timeout_s),
                headers=_headers(put),
                content=_pieces(file),
                length=put.bytes,
            ) as answer,
        ):
            if answer.status in _SUCCESS:
                return
            raise PutError(
                f"The server answered {answer.status}.",
                retryable=answer.status in TRY_AGAIN,
                retry_after_s=retry_after_s(answer, now=datetime.now(UTC)),
            )
    except ObjectNotFoundError as error:
        raise PutError("The file is not in the file store any more.") from error
    except EgressRefusedError as refused:
        raise PutError(str(refused)) from refused
    except CallError as broken:
        raise PutError(str(broken), retryable=True) from broken


def _headers(put: ClaimedPut) -> dict[str, str]:
    """The caller's own, in any case of letters, before ours."""
    ours = {"User-Agent": "Packshot", "Content-Type": MEDIA_TYPES[put.format]}
    given = {name.lower() for name in put.headers}
    return {**{name: value for name, value in ours.items() if name.lower() not in given}, **put.headers}


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """`StorageUnavailableError`."""
    while piece := file.read(_CHUNK_BYTES):
        yield piece
