"""The store that the settings name. Credentials are read from the variables that the provider's own tools read."""

from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from config.settings import Settings
from storage.local import LocalStorage
from storage.objects import ObjectStorage, Signer
from storage.port import Storage

if TYPE_CHECKING:  # they exist for type checkers alone
    from obstore.store import ClientConfig, RetryConfig

_MAX_RETRIES = 4
_CONNECT_S = 5.0


def open_storage(settings: Settings) -> Storage:
    """The store behind `settings.storage`; nothing is asked of its server yet. `ValueError` for bad settings."""
    if settings.storage.scheme == "file":
        return LocalStorage(settings.files_path)
    bucket = _bucket(settings, settings.storage_endpoint)
    return ObjectStorage(bucket, signer=_signer(settings, bucket))


def _signer(settings: Settings, bucket: Signer) -> Signer | None:
    """What makes URLs, if anything shall and can: obstore signs Google's for Google's own host and for no other."""
    public = settings.storage_public_endpoint
    is_elsewhere = (public or settings.storage_endpoint) is not None
    if not settings.storage_links or (settings.storage.scheme == "gs" and is_elsewhere):
        return None
    return bucket if public is None else _bucket(settings, public)


class _Given(TypedDict):
    """What every kind of store is told."""

    prefix: str | None
    client_options: "ClientConfig"
    retry_config: "RetryConfig"


def _bucket(settings: Settings, endpoint: str | None) -> Signer:
    where, given = (
        settings.storage,
        _Given(
            prefix=settings.storage.path or None,
            client_options=_client(settings, endpoint),
            retry_config=_retry(settings),
        ),
    )
    try:
        if where.scheme == "s3":
            return S3Store(where.bucket, config={} if endpoint is None else {"endpoint": endpoint}, **given)
        if where.scheme == "gs":
            return GCSStore(where.bucket, config={} if endpoint is None else {"base_url": endpoint}, **given)
        return AzureStore(where.bucket, config={} if endpoint is None else {"endpoint": endpoint}, **given)
    except (BaseError, ValueError) as error:
        # The first line says what is missing; those below it may hold what was given.
        raise ValueError(f"{where.scheme} storage: {str(error).splitlines()[0]}") from None


def _client(settings: Settings, endpoint: str | None) -> "ClientConfig":
    options: ClientConfig = {
        "timeout": timedelta(seconds=settings.storage_timeout_s),
        "connect_timeout": timedelta(seconds=min(_CONNECT_S, settings.storage_timeout_s)),
        "user_agent": "Packshot",
    }
    if endpoint is not None and endpoint.startswith("http:"):
        options["allow_http"] = True
    if settings.storage_ca_file is not None:
        options["root_certificate"] = settings.storage_ca_file.read_bytes()
    return options


def _retry(settings: Settings) -> "RetryConfig":
    """A few quick tries: what takes longer is for the queue, which has more patience than a request."""
    return {
        "max_retries": _MAX_RETRIES,
        "retry_timeout": timedelta(seconds=settings.storage_timeout_s),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
    }
