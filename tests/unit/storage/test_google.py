"""What Google's store does beyond the contract: its tokens, its signed URLs, wrong accounts and buckets."""

from datetime import timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from config.settings import Settings
from storage.opening import open_storage
from storage.port import Served, StorageUnavailableError
from tests.google_server import GoogleServer, account_of

HOST = "storage.googleapis.com"
SERVED = Served("image/png", 'attachment; filename="mug.png"')


@pytest.fixture
def settings(google_server: GoogleServer, google_bucket: str) -> Settings:
    return Settings(storage_url=f"gs://{google_bucket}/p", storage_endpoint=google_server.endpoint, storage_timeout_s=5)


def test_a_signed_url_opens_one_object_as_it_is_served(settings: Settings) -> None:
    """The URL is that of Google's own server, whose part another plays here."""
    open_storage(settings).put("jobs/1/1/cutout.png", b"bytes", SERVED)
    at_google = open_storage(settings.model_copy(update={"storage_endpoint": None}))
    url = at_google.url("jobs/1/1/cutout.png", expires_in=timedelta(seconds=60))
    assert url is not None
    assert url.startswith(f"https://{HOST}/")

    def fetch(method: str, url: str) -> httpx.Response:
        here = url.replace(f"https://{HOST}", settings.storage_endpoint or "")
        return httpx.request(method, here, headers={"Host": HOST})

    reply = fetch("GET", url)
    assert (reply.status_code, reply.content) == (200, b"bytes")
    assert reply.headers["content-type"] == SERVED.content_type
    assert reply.headers["content-disposition"] == SERVED.content_disposition
    assert fetch("GET", url.replace("cutout", "other")).status_code == 403
    assert fetch("GET", url.replace("X-Goog-Expires=60", "X-Goog-Expires=600")).status_code == 403
    assert fetch("PUT", url).status_code == 403


def test_no_url_is_signed_for_another_host_than_googles(settings: Settings) -> None:
    """Its signature would be that of Google's host, and open nothing."""
    public = settings.model_copy(update={"storage_endpoint": None, "storage_public_endpoint": "https://files.example"})
    for elsewhere in (settings, public):
        assert open_storage(elsewhere).url("jobs/1/input", expires_in=timedelta(seconds=60)) is None


def test_another_key_than_the_accounts_opens_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    open_storage(settings).put("jobs/1/input", b"x")
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", account_of(rsa.generate_private_key(65537, 2048)))
    store = open_storage(settings)
    for call in (lambda: store.open("jobs/1/input"), store.check, lambda: [*store.list("")]):
        with pytest.raises(StorageUnavailableError, match="403 Forbidden, SignatureDoesNotMatch"):
            call()


def test_no_bucket_is_a_store_that_is_away_and_no_missing_photo(settings: Settings) -> None:
    store = open_storage(settings.model_copy(update={"storage_url": "gs://nowhere"}))
    for call in (lambda: store.open("jobs/1/input"), lambda: store.put("a", b""), store.check):
        with pytest.raises(StorageUnavailableError, match="404 Not Found, NoSuchBucket"):
            call()
