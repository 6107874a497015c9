"""What a bucket does that a folder does not: credentials, signed URLs, faults of a network."""

import traceback
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest

from config.settings import Settings
from storage.opening import open_storage
from storage.port import ObjectNotFoundError, Served, Storage, StorageUnavailableError
from tests.s3_server import SECRET_KEY, S3Server

SERVED = Served("image/png", "attachment; filename=\"mug.png\"; filename*=UTF-8''mug.png")


@pytest.fixture
def settings(s3_server: S3Server, s3_bucket: str) -> Settings:
    return Settings(storage_url=f"s3://{s3_bucket}", storage_endpoint=s3_server.endpoint, storage_timeout_s=2)


@pytest.fixture
def store(settings: Settings) -> Storage:
    return open_storage(settings)


def test_a_signed_url_opens_one_object_as_it_is_served(store: Storage) -> None:
    store.put("jobs/1/1/cutout.png", b"bytes", SERVED)
    url = store.url("jobs/1/1/cutout.png", expires_in=timedelta(seconds=60))
    assert url is not None
    reply = httpx.get(url)
    assert (reply.status_code, reply.content) == (200, b"bytes")
    assert reply.headers["content-type"] == SERVED.content_type
    assert reply.headers["content-disposition"] == SERVED.content_disposition
    assert reply.headers["cache-control"] == "private, no-cache"
    assert httpx.get(url, headers={"Range": "bytes=1-2"}).content == b"yt"
    assert httpx.get(url.replace("cutout", "other")).status_code == 403
    assert httpx.get(url.replace("X-Amz-Expires=60", "X-Amz-Expires=600")).status_code == 403
    assert httpx.put(url, content=b"mine").status_code == 403


def test_what_is_large_is_served_alike(store: Storage) -> None:
    store.put("jobs/1/1/cutout.png", memoryview(b"x" * 9_000_000), SERVED)
    reply = httpx.get(store.url("jobs/1/1/cutout.png", expires_in=timedelta(seconds=60)) or "")
    assert len(reply.content) == 9_000_000
    assert reply.headers["content-disposition"] == SERVED.content_disposition


def test_urls_name_the_endpoint_that_callers_reach(settings: Settings) -> None:
    public = open_storage(settings.model_copy(update={"storage_public_endpoint": "https://files.shop.example"}))
    url = urlsplit(public.url("jobs/1/input", expires_in=timedelta(seconds=60)) or "")
    assert (url.scheme, url.netloc) == ("https", "files.shop.example")
    none = open_storage(settings.model_copy(update={"storage_links": False}))
    assert none.url("jobs/1/input", expires_in=timedelta(seconds=60)) is None


def test_no_bucket_is_a_store_that_is_away_and_no_missing_photo(settings: Settings) -> None:
    """A typing error in a setting must not fail jobs for good."""
    store = open_storage(settings.model_copy(update={"storage_url": "s3://nowhere"}))
    calls = (lambda: store.open("jobs/1/input"), lambda: store.put("a", b""), store.check, lambda: [*store.list("")])
    for call in calls:
        with pytest.raises(StorageUnavailableError, match="404 Not Found, NoSuchBucket"):
            call()


def test_wrong_credentials_are_told_without_a_secret(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY[::-1])
    store = open_storage(settings)
    for call in (lambda: store.open("jobs/1/input"), store.check, lambda: [*store.list("")]):
        with pytest.raises(StorageUnavailableError, match="403 Forbidden, SignatureDoesNotMatch") as caught:
            call()
        told = "".join(traceback.format_exception(caught.value))
        assert "<Error>" not in told, "obstore's own text holds what the server answered"


def test_a_server_that_is_not_there(settings: Settings) -> None:
    store = open_storage(settings.model_copy(update={"storage_endpoint": "http://127.0.0.1:1"}))
    for call in (lambda: store.open("a"), lambda: store.put("a", b""), lambda: store.delete("a"), store.check):
        with pytest.raises(StorageUnavailableError, match="Connect"):
            call()


def test_nothing_and_a_prefix_are_not_found(store: Storage) -> None:
    store.put("jobs/1/input", b"x")
    for key in ("jobs/1", "jobs/2/input"):
        with pytest.raises(ObjectNotFoundError):
            store.open(key)


@pytest.mark.parametrize(
    ("url", "scheme", "bucket", "path"),
    [
        ("file:///var/lib/pack%20shot", "file", "", "/var/lib/pack shot"),
        ("file:files", "file", "", "files"),
        ("s3://photos", "s3", "photos", ""),
        ("s3://photos/pack/shot/", "s3", "photos", "pack/shot"),
        ("gs://photos_1.example/x", "gs", "photos_1.example", "x"),
        ("az://container/prefix", "az", "container", "prefix"),
    ],
)
def test_urls_of_stores(url: str, scheme: str, bucket: str, path: str) -> None:
    where = Settings(storage_url=url).storage
    assert (where.scheme, where.bucket, where.path) == (scheme, bucket, path)


@pytest.mark.parametrize(
    "url",
    ["", "files", "s3:photos", "s3://", "s3://KEY:SECRET@photos", "s3://photos?secret=SECRET", "ftp://x", "file:"],
)
def test_a_bad_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ValueError, match="storage_url is") as caught:
        Settings(storage_url=url)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("url", ["az://container", "s3://photos"])
def test_a_store_that_lacks_a_setting_says_which(url: str) -> None:
    bad = Settings(storage_url=url, storage_ca_file=__file__ if url.startswith("s3") else None)
    with pytest.raises(ValueError, match=r"Account must be specified|No certificates"):
        open_storage(bad)
