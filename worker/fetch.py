"""One download: URL to stored photo, every hop checked, bounded in time and bytes."""

import hashlib
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO, cast
from urllib.parse import urljoin

import structlog

from config.settings import Settings
from config.tracing import Kind, Silent, Tracing, attributes_of
from db.session import Sessions
from dispatch.counters import Counters
from dispatch.doorbell import Doorbell
from dispatch.names import Bell
from jobs import fetching
from jobs.egress import EgressRefusedError
from jobs.errors import JobError
from jobs.fetching import ClaimedFetch
from jobs.lifecycle import STORAGE_AWAY
from jobs.quotas import MEGAPIXELS, WINDOW_S, counter_of
from jobs.values import StoredInput
from storage.keys import fetched_key
from storage.port import Storage, StorageError
from vision.codec.header import Limits, probe
from vision.errors import ImageError
from worker.http import TRY_AGAIN, Answer, CallError, Deadline, HttpClient, retry_after_s
from worker.metrics import WorkerMetrics
from worker.store_gate import StoreGate

log = structlog.get_logger(__name__)

_SPOOL_BYTES = 2**20  # a larger photo goes to the disk while it is downloaded
_OK = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {"User-Agent": "Packshot", "Accept": "image/*"}


class DownloadError(Exception):
    """A download that failed: what the job's error would be, and how long the server asked us to wait."""

    def __init__(self, error: JobError, *, retry_after_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Fetching:
    """What a download needs."""

    settings: Settings
    sessions: Sessions
    storage: Storage
    gate: StoreGate
    client: HttpClient
    bell: Doorbell
    counters: Counters
    tracing: Tracing = field(default_factory=Silent)
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)


def run(needs: Fetching, fetch: ClaimedFetch) -> None:
    """Download a claimed photo, store it, make its job due; or settle why not. Never in a transaction meanwhile."""
    started = time.monotonic()
    about = {**attributes_of(fetch.about), "http.request.method": "GET", "server.address": fetch.host}
    with needs.tracing.start("fetch", parent=fetch.traceparent, kind=Kind.CLIENT, attributes=about) as span:
        try:
            stored = store_photo(fetch, needs.settings, needs.client, needs.storage)
        except DownloadError as failure:
            span.fail(failure.error.code)
            if failure.error.code == STORAGE_AWAY:
                needs.gate.refused()
            needs.metrics.fetched(failure.error.code)
            _settle_failure(needs, fetch, failure)
            return
    needs.gate.stored()
    fetch_ms = round((time.monotonic() - started) * 1000)
    with needs.sessions.begin() as session:
        arrived = fetching.arrive(session, fetch, stored, fetch_ms=fetch_ms)
    needs.metrics.fetched("ok", stored.bytes)
    if arrived:
        log.info("photo_fetched", bytes=stored.bytes, fetch_ms=fetch_ms)
        megapixels = stored.width * stored.height / 1e6
        needs.counters.charge(counter_of(MEGAPIXELS, fetch.api_key_id), megapixels, window_s=WINDOW_S)
        needs.bell.ring(Bell.GPU)
    else:
        log.info("fetch_refused")
        _remove(needs.storage, stored.key)


def _settle_failure(needs: Fetching, fetch: ClaimedFetch, failure: DownloadError) -> None:
    settings = needs.settings
    with needs.sessions.begin() as session:
        settled = fetching.retry_or_fail(
            session,
            fetch,
            failure.error,
            fetching.RetryTerms(settings.fetch_max_tries, settings.retry_backoff_s),
            retry_after_s=failure.retry_after_s,
        )
    log.info("fetch_failed", code=failure.error.code, settled=settled)
    if settled:
        needs.bell.ring(Bell.IO)  # where the job failed for good, its webhook is due


def store_photo(fetch: ClaimedFetch, settings: Settings, client: HttpClient, storage: Storage) -> StoredInput:
    """Download, check the header, store. No database. `DownloadError`."""
    if fetch.tries > settings.fetch_max_tries:  # earlier tries took their workers with them
        raise DownloadError(_failed("The download broke off too often."))
    limits = Limits(max_megapixels=settings.max_megapixels, max_bytes=settings.max_upload_bytes)
    key = fetched_key(fetch.job_id, fetch.attempt)
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
        file = cast("BinaryIO", spool)
        try:
            sha256 = _download(client, fetch.url, file, settings)
            header = probe(file, limits, animated=fetch.animated)
            file.seek(0)
            size = storage.put(key, file)
        except EgressRefusedError as refused:
            raise DownloadError(JobError("invalid_image_url", str(refused))) from refused
        except CallError as broken:
            raise DownloadError(_failed(str(broken), retryable=True)) from broken
        except ImageError as error:
            raise DownloadError(JobError(error.code, error.detail)) from error
        except (StorageError, OSError) as error:  # OSError: the spool's disk is full
            raise DownloadError(JobError(STORAGE_AWAY, "The photo can't be stored.", retryable=True)) from error
    return StoredInput(key, sha256, size, header.format, header.width_px, header.height_px)


def _download(client: HttpClient, url: str, file: BinaryIO, settings: Settings) -> str:
    """Write the photo behind `url` to `file`, following redirects; returns its SHA-256."""
    deadline = Deadline(settings.fetch_timeout_s)
    for _ in range(settings.fetch_redirects + 1):
        with client.call("GET", url, deadline=deadline, headers=_HEADERS) as answer:
            if answer.status == _OK:
                return _receive(answer, file, settings.max_upload_bytes)
            url = _next_url(answer, url)
    raise DownloadError(_failed(f"The URL redirects more than {settings.fetch_redirects} times."))


def _next_url(answer: Answer, url: str) -> str:
    """Where a redirect leads, still unchecked; `DownloadError` for every other answer."""
    if answer.status not in _REDIRECTS:
        raise DownloadError(
            _failed(f"The server answered {answer.status}.", retryable=answer.status in TRY_AGAIN),
            retry_after_s=retry_after_s(answer, now=datetime.now(UTC)),
        )
    location = answer.headers.get("location")
    if not location:
        raise DownloadError(_failed("The server redirects to nowhere."))
    try:
        target = urljoin(url, location)
    except ValueError as error:
        raise DownloadError(JobError("invalid_image_url", "The URL redirects to a malformed one.")) from error
    if url.lower().startswith("https:") and target.lower().startswith("http:"):
        raise DownloadError(JobError("invalid_image_url", "The URL redirects from https to http."))
    return target


def _receive(answer: Answer, file: BinaryIO, max_bytes: int) -> str:
    """Stream the body; what the server says of its length is only good for an early refusal."""
    if answer.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise DownloadError(_failed("The server sends a compressed body that was not asked for."))
    length = answer.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > max_bytes:
        raise _too_large(max_bytes)
    digest = hashlib.sha256()
    received = 0
    for chunk in answer.body:
        received += len(chunk)
        if received > max_bytes:
            raise _too_large(max_bytes)
        digest.update(chunk)
        file.write(chunk)
    return digest.hexdigest()


def _failed(detail: str, *, retryable: bool = False) -> JobError:
    return JobError("failed_image_download", detail, retryable=retryable)


def _too_large(max_bytes: int) -> DownloadError:
    return DownloadError(JobError("file_too_large", f"The photo has more than {max_bytes} bytes."))


def _remove(storage: Storage, key: str) -> None:
    try:
        storage.delete(key)
    except StorageError as error:
        log.warning("late_photo_left", key=key, error=str(error))  # no row names it: the sweeper removes it
