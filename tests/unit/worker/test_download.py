"""One download without a database: every bad server and every bad file ends in time, with a stable code."""

import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from config.settings import Settings
from jobs.egress import Policy
from jobs.fetching import ClaimedFetch
from jobs.ids import new_id
from jobs.values import StoredInput
from storage.local import LocalStorage
from tests.corpus.gifs import Frame, gif
from tests.corpus.old_files import BLOCKS, COLOURS
from tests.photo_files import save
from tests.receivers import Handler, Receiver, redirect, reply, trickle
from vision.codec.header import Animated
from worker.fetch import DownloadError, _next_url, store_photo
from worker.http import Answer, HttpClient

PHOTO = save(np.full((40, 60, 3), 200, np.uint8), "PNG")
Download = Callable[..., StoredInput]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(lambda _: reply(200, PHOTO)) as server:
        yield server


@pytest.fixture
def download(receiver: Receiver, tmp_path: Path) -> Iterator[Download]:
    """Downloads from the receiver with small limits; nothing may stay in the store on failure."""
    clients = []

    def run(handler: Handler | None = None, animated: Animated = "refuse", **changes: object) -> StoredInput:
        given = {"max_upload_bytes": 50_000, "max_megapixels": 1.0, "fetch_timeout_s": 5.0, **changes}
        settings = Settings(egress_allow=(receiver.allow,), **given)
        client = HttpClient(Policy.from_settings(settings), resolver=lambda _: ["127.0.0.1"])
        clients.append(client)
        receiver.routes["/bad"] = handler or receiver._default
        fetch = ClaimedFetch(new_id(), 1, receiver.url("/bad"), new_id(), animated)
        storage = LocalStorage(tmp_path)
        try:
            return store_photo(fetch, settings, client, storage)
        except DownloadError:
            assert list(storage.list("jobs")) == []
            raise

    yield run
    for client in clients:
        client.close()


def test_of_an_animation_the_first_frame_is_taken_where_the_job_says_so(download: Download) -> None:
    moving = gif([Frame(BLOCKS), Frame(BLOCKS + 1)], BLOCKS.shape, COLOURS)
    with pytest.raises(DownloadError) as caught:
        download(lambda _: reply(200, moving))
    assert caught.value.error.code == "animated_image"
    assert download(lambda _: reply(200, moving), animated="first_frame").format == "gif"


def test_a_photo_is_stored_under_its_attempt(download: Download) -> None:
    stored = download()
    assert stored.key.endswith("/input-1")
    assert (stored.bytes, stored.format, stored.width, stored.height) == (len(PHOTO), "png", 60, 40)


@pytest.mark.parametrize(
    ("status", "target"),
    [
        (301, "http://10.0.0.1/"),
        (302, "http://169.254.169.254/latest/meta-data/"),
        (303, "//127.0.0.1:1/"),
        (307, "file:///etc/passwd"),
        (308, "ftp://8.8.8.8/"),
        (302, "gopher://8.8.8.8/"),
        (302, "data:image/png;base64,AAAA"),
        (302, "http://user@8.8.8.8/"),
        (302, "http://[::1]/"),
        (302, "http://0x7f.1/"),
        (302, "http://closed.example/"),
        (302, "http:\\\\127.0.0.1/"),
        (302, "http://[/"),
    ],
)
def test_a_redirect_into_the_closed_is_refused(download: Download, receiver, status: int, target: str) -> None:
    with pytest.raises(DownloadError) as failed:
        download(lambda _: redirect(status, target))
    assert failed.value.error.code == "invalid_image_url"
    assert not failed.value.error.retryable
    assert len(receiver.received) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_into_the_open_is_followed(download: Download, receiver: Receiver, status: int) -> None:
    assert download(lambda _: redirect(status, "/good")).bytes == len(PHOTO)
    assert [request.target for request in receiver.received] == ["/bad", "/good"]


def test_redirects_end_at_their_limit(download: Download, receiver: Receiver) -> None:
    with pytest.raises(DownloadError, match="more than 3 times"):
        download(lambda _: redirect(302, "/bad"), fetch_redirects=3)
    assert len(receiver.received) == 4


def test_the_deadline_spans_all_hops(download: Download, receiver: Receiver) -> None:
    def slow(_: object) -> Iterator[bytes]:
        time.sleep(0.3)
        yield from redirect(302, "/bad")

    with pytest.raises(DownloadError) as failed:
        download(slow, fetch_timeout_s=0.8, fetch_redirects=50)
    assert failed.value.error.retryable
    assert len(receiver.received) <= 3


def test_https_is_never_left_for_http() -> None:
    with pytest.raises(DownloadError, match="https to http"):
        _next_url(Answer(302, {"location": "http://shop.example/b"}, iter(())), "https://shop.example/a")
    assert _next_url(Answer(302, {"location": "/b"}, iter(())), "https://shop.example/a") == "https://shop.example/b"


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (lambda _: redirect(302, "/bad"), "failed_image_download"),  # a loop
        (lambda _: reply(302), "failed_image_download"),
        (lambda _: reply(404, b"internal secrets"), "failed_image_download"),
        (lambda _: reply(401), "failed_image_download"),
        (lambda _: reply(204), "failed_image_download"),
        (lambda _: reply(206, PHOTO), "failed_image_download"),
        (lambda _: reply(200, b""), "failed_to_read_image"),
        (lambda _: reply(200, b"<html>Not found</html>"), "invalid_file_type"),
        (lambda _: reply(200, b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "invalid_file_type"),
        (lambda _: reply(200, PHOTO[:30]), "failed_to_read_image"),
        (lambda _: reply(200, gzip.compress(PHOTO), {"Content-Encoding": "gzip"}), "failed_image_download"),
        (lambda _: reply(200, gzip.compress(b"\0" * 10**7), {"Content-Encoding": "gzip"}), "failed_image_download"),
        (lambda _: reply(200, gzip.compress(PHOTO)), "invalid_file_type"),
        (lambda _: reply(200, b"x" * 5000, {"Content-Length": "99999999999"}), "file_too_large"),
        (lambda _: [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 1000] * 100], "file_too_large"),
        (lambda _: reply(200, save(np.zeros((2000, 2000, 3), np.uint8), "PNG")), "resolution_too_high"),
    ],
)
def test_what_can_not_be_mended_is_final(download: Download, handler: Handler, code: str) -> None:
    with pytest.raises(DownloadError) as failed:
        download(handler)
    assert (failed.value.error.code, failed.value.error.retryable) == (code, False)
    assert "internal secrets" not in failed.value.error.detail


def test_an_endless_body_ends_at_the_limit(download: Download) -> None:
    sent = 0

    def endless(_: object) -> Iterator[bytes]:
        nonlocal sent
        yield b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
        while True:
            sent += 65536
            yield b"10000\r\n" + b"x" * 65536 + b"\r\n"

    with pytest.raises(DownloadError) as failed:
        download(endless)
    assert failed.value.error.code == "file_too_large"
    assert sent < 50_000_000


PASSING: dict[str, Handler] = {
    "408": lambda _: reply(408),
    "429": lambda _: reply(429),
    "500": lambda _: reply(500),
    "503": lambda _: reply(503),
    "slow loris": lambda _: trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + PHOTO, 0.05),
    "lying length": lambda _: reply(200, PHOTO, {"Content-Length": "40000"}),
    "hangs up": lambda _: [],
    "no http": lambda _: [b"SSH-2.0-OpenSSH\r\n"],
}


@pytest.mark.parametrize("how", PASSING)
def test_a_passing_fault_may_be_tried_again(download: Download, how: str) -> None:
    started = time.monotonic()
    with pytest.raises(DownloadError) as failed:
        download(PASSING[how], fetch_timeout_s=0.5)
    assert (failed.value.error.code, failed.value.error.retryable) == ("failed_image_download", True)
    assert time.monotonic() - started < 2


def test_retry_after_is_handed_on(download: Download) -> None:
    with pytest.raises(DownloadError) as failed:
        download(lambda _: reply(503, headers={"Retry-After": "120"}))
    assert failed.value.retry_after_s == 120
