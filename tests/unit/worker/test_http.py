"""One call out of the service: pinned to the checked address, bounded in time whatever the server does."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
import trustme

from config.settings import Settings
from jobs.egress import EgressRefusedError, Policy
from tests.receivers import Receiver, redirect, reply, trickle
from worker.http import Answer, CallError, CallTimeoutError, Deadline, HttpClient, retry_after_s

Clients = Callable[..., HttpClient]


@pytest.fixture
def clients() -> Iterator[Clients]:
    """Builds clients that may call the given receivers."""
    built: list[HttpClient] = []

    def build(*receivers: Receiver, **options: object) -> HttpClient:
        policy = Policy.from_settings(Settings(egress_allow=tuple(one.allow for one in receivers)))
        built.append(HttpClient(policy, **options))
        return built[-1]

    yield build
    for client in built:
        client.close()


def get(client: HttpClient, url: str, *, seconds: float = 5.0) -> tuple[int, bytes]:
    with client.call("GET", url, deadline=Deadline(seconds)) as answer:
        return answer.status, b"".join(answer.body)


def test_a_call_sends_the_names_of_its_url_and_nothing_else(clients: Clients) -> None:
    with Receiver(lambda _: reply(200, b"hello")) as receiver:
        client = clients(receiver, resolver=lambda _: ["127.0.0.1"])
        assert get(client, receiver.url("/a?b=%20c", host="shop.example")) == (200, b"hello")
        [request] = receiver.received
        assert (request.method, request.target) == ("GET", "/a?b=%20c")
        assert request.headers == {
            "host": f"shop.example:{receiver.port}",
            "accept-encoding": "identity",
            "connection": "close",
        }


def test_a_body_goes_out_whole(clients: Clients) -> None:
    body = b"x" * 500_000
    with Receiver(lambda _: reply(204)) as receiver:
        url = receiver.url()
        with clients(receiver).call("POST", url, deadline=Deadline(5), content=body) as answer:
            assert answer.status == 204
        assert receiver.received[0].body == body


def test_the_connection_goes_to_the_address_that_was_checked(clients: Clients) -> None:
    """DNS rebinding: the second answer is another one, and nobody asks for it."""
    asked: list[str] = []

    def resolver(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    with Receiver(lambda _: reply(200, b"first")) as receiver:
        client = clients(receiver, resolver=resolver)
        url = receiver.url(host="rebind.example")
        assert get(client, url) == (200, b"first")
        assert asked == ["rebind.example"]
        with pytest.raises(EgressRefusedError):
            get(client, url)
        assert receiver.connections == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "shop.example"])
def test_a_closed_address_is_never_connected_to(clients: Clients, host: str) -> None:
    with Receiver(lambda _: reply(200)) as receiver:
        client = clients(resolver=lambda _: ["127.0.0.1"])
        with pytest.raises(EgressRefusedError):
            get(client, receiver.url(host=host))
        assert receiver.connections == 0


def test_proxy_variables_are_ignored(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver(lambda _: reply(200, b"direct")) as receiver, Receiver(lambda _: reply(200, b"proxy")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        assert get(clients(receiver), receiver.url()) == (200, b"direct")
        assert proxy.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(clients: Clients, status: int) -> None:
    with Receiver() as receiver:
        receiver.routes["/"] = lambda _: redirect(status, receiver.url("/next"))
        assert get(clients(receiver), receiver.url())[0] == status
        assert [request.target for request in receiver.received] == ["/"]


def test_closed_silent_and_broken_servers_read_alike(clients: Clients) -> None:
    """Whoever reads the error can't tell a closed port from an open one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed_port = listener.getsockname()[1]
    policy = Policy.from_settings(Settings(egress_allow=(f"127.0.0.1/32:{closed_port}",)))
    texts = set()
    with Receiver(lambda _: [b"SSH-2.0-OpenSSH\r\n"]) as wrong, Receiver(lambda _: []) as mute:
        for client, url in (
            (HttpClient(policy), f"http://127.0.0.1:{closed_port}/"),
            (clients(wrong), wrong.url()),
            (clients(mute), mute.url()),
        ):
            with pytest.raises(CallError) as failed:
                get(client, url)
            texts.add(str(failed.value))
            client.close()
    assert len(texts) == 1


def test_a_silent_address_leaves_time_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.create_connection
    tried: list[tuple[str, float]] = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        tried.append((address[0], timeout))
        if len(tried) == 1:
            time.sleep(timeout)
            raise TimeoutError
        return real(address, timeout)

    with Receiver(lambda _: reply(200, b"ok")) as receiver:
        policy = Policy(allow=((ip_network("127.0.0.0/8"), receiver.port),))
        client = HttpClient(policy, resolver=lambda _: ["127.0.0.3", "127.0.0.1"])
        monkeypatch.setattr(socket, "create_connection", connect)
        assert get(client, receiver.url(host="two.example"), seconds=2) == (200, b"ok")
        client.close()
    assert [address for address, _ in tried] == ["127.0.0.3", "127.0.0.1"]
    assert tried[0][1] == pytest.approx(1.0, abs=0.1)


SLOW = {
    "status line": lambda _: trickle(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100, 0.1),
    "endless headers": lambda _: trickle(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000, 0.1),
    "body": lambda _: _slow_body(),
    "informational": lambda _: _forever(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "nothing": lambda _: _silence(),
}


def _slow_body() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    yield from trickle(b"z" * 1000, 0.1)


def _forever(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece
        time.sleep(0.05)


def _silence() -> Iterator[bytes]:
    for _ in range(50):
        time.sleep(0.1)
        yield b""


@pytest.mark.parametrize("how", SLOW)
def test_a_slow_server_ends_with_the_deadline(clients: Clients, how: str) -> None:
    with Receiver(SLOW[how]) as receiver:
        started = time.monotonic()
        with pytest.raises(CallTimeoutError):
            get(clients(receiver), receiver.url(), seconds=0.6)
        assert time.monotonic() - started < 1.5


def test_a_slow_look_up_ends_with_the_deadline(clients: Clients) -> None:
    def resolver(_: str) -> list[str]:
        time.sleep(1.0)
        return ["8.8.8.8"]

    started = time.monotonic()
    with pytest.raises(CallTimeoutError):
        get(clients(resolver=resolver), "http://slow.example/", seconds=0.2)
    assert time.monotonic() - started < 0.8


def test_a_failed_look_up_is_a_passing_fault(clients: Clients) -> None:
    def resolver(_: str) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    with pytest.raises(CallError):
        get(clients(resolver=resolver), "http://away.example/")


def test_headers_without_end_are_refused(clients: Clients) -> None:
    lines = [b"HTTP/1.1 200 OK\r\n", *[b"X-A: " + b"b" * 1000 + b"\r\n"] * 300]
    with Receiver(lambda _: lines) as receiver, pytest.raises(CallError):
        get(clients(receiver), receiver.url())


def test_a_body_shorter_than_it_says_is_an_error(clients: Clients) -> None:
    with Receiver(lambda _: reply(200, b"short", {"Content-Length": "1000"})) as receiver, pytest.raises(CallError):
        get(clients(receiver), receiver.url())


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_tls_is_pinned_to_the_address_and_checked_by_the_name(clients: Clients, authority: trustme.CA) -> None:
    asked: list[str | None] = []
    tls = server_tls(authority, "shop.example")
    tls.sni_callback = lambda _socket, name, _context: asked.append(name)
    with Receiver(lambda _: reply(200, b"secure"), tls=tls) as receiver:
        client = clients(receiver, resolver=lambda _: ["127.0.0.1"], tls=client_tls(authority))
        assert get(client, receiver.url(host="shop.example")) == (200, b"secure")
        assert asked == ["shop.example"]
        with pytest.raises(CallError):
            get(client, receiver.url(host="other.example"))
        assert len(receiver.received) == 1


def test_an_unknown_authority_is_refused(clients: Clients, authority: trustme.CA) -> None:
    with Receiver(lambda _: reply(200), tls=server_tls(authority, "shop.example")) as receiver:
        client = clients(receiver, resolver=lambda _: ["127.0.0.1"])
        with pytest.raises(CallError):
            get(client, receiver.url(host="shop.example"))


def test_a_handshake_that_hangs_ends_with_the_deadline(clients: Clients) -> None:
    with Receiver(lambda _: _silence()) as receiver:
        started = time.monotonic()
        with pytest.raises(CallTimeoutError):
            get(clients(receiver), receiver.url().replace("http:", "https:"), seconds=0.5)
        assert time.monotonic() - started < 1.2


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("120", 120.0),
        ("Mon, 23 Nov 2026 12:01:00 GMT", 60.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("٣", 0.0),
        ("9" * 40, 999_999_999.0),
        ("Mon, 23 Nov 2026 12:01:00 +" + "9" * 20, 0.0),
        ("Mon, 23 Nov " + "9" * 20 + " 12:01:00 GMT", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(given: str, seconds: float) -> None:
    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    assert retry_after_s(Answer(503, {"retry-after": given}, iter(())), now=now) == seconds
