"""Calls out of the service: one request on one connection, to an address that the egress guard permitted.

Built on httpcore, the transport below httpx, because it does nothing unasked: it follows no redirect, reads no proxy
variable, keeps no cookie, decodes no body. The socket is opened here, to the addresses just checked, while `Host`
header, SNI and certificate keep the URL's name. One deadline spans look-up, connect, TLS and every read and write, so
a server that trickles bytes ends with it.
"""

import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import certifi
import httpcore

from jobs.egress import Address, CheckedUrl, Policy, Resolver, check_url, resolve

_NO_SUCH_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}

TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of a server that may answer otherwise later."""

_DIGITS = 9  # of a Retry-After: thirty years are enough


class CallError(Exception):
    """The server could not be reached or broke off; trying again may help. Says no more: not which ports are open."""

    def __init__(self, detail: str = "The server could not be reached, or broke off.") -> None:
        super().__init__(detail)


class CallTimeoutError(CallError):
    """The whole call took longer than its deadline."""

    def __init__(self) -> None:
        super().__init__("The server did not answer in time.")


class Deadline:
    """An end to a whole call, whatever it is made of."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left, above zero. `CallTimeoutError` when it has passed."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise CallTimeoutError
        return left


@dataclass(frozen=True)
class Answer:
    """Status and headers (names in lower case; the last of a name counts), and the body as it comes, undecoded."""

    status: int
    headers: Mapping[str, str]
    body: Iterator[bytes]


class HttpClient:
    """Makes checked calls; shared by threads."""

    def __init__(
        self,
        policy: Policy,
        *,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
        lookups: int = 32,
    ) -> None:
        self.policy = policy
        self._resolver = resolver or system_resolver
        self._tls = tls or _build_tls()
        # The system's look-up knows no deadline, so it runs beside and is left behind when it is late.
        self._lookups = ThreadPoolExecutor(lookups, thread_name_prefix="lookup")

    def close(self) -> None:
        """Let the look-ups end."""
        self._lookups.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def call(
        self,
        method: str,
        url: str,
        *,
        deadline: Deadline,
        headers: Mapping[str, str] | None = None,
        content: bytes | Iterator[bytes] | None = None,
        length: int | None = None,
    ) -> Iterator[Answer]:
        """One request; the connection is closed with the block. `EgressRefusedError`, `CallError`.

        Content that comes in pieces needs its `length`; what its iterator raises ends the call.
        """
        checked = check_url(url, self.policy)
        addresses = resolve(checked, lambda host: self._look_up(host, deadline), self.policy)
        lines = {"Host": checked.authority, "Accept-Encoding": "identity", "Connection": "close", **(headers or {})}
        if content is not None:
            lines["Content-Length"] = str(len(content) if isinstance(content, bytes) else length)
        target = httpcore.URL(scheme=checked.scheme, host=checked.host, port=checked.port, target=checked.target)
        try:
            stream = _Stream(self._connect(checked, addresses, deadline), deadline)
            with httpcore.HTTP11Connection(target.origin, stream) as connection:
                request = httpcore.Request(method, target, headers=list(lines.items()), content=content)
                response = connection.handle_request(request)
                body = response.iter_stream()
                yield Answer(response.status, _headers(response.headers), body)
        except httpcore.TimeoutException as error:
            raise CallTimeoutError from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise CallError from error

    def _look_up(self, host: str, deadline: Deadline) -> Sequence[str]:
        looked_up = self._lookups.submit(self._resolver, host)
        try:
            return looked_up.result(timeout=deadline.left())
        except TimeoutError as error:
            looked_up.cancel()
            raise CallTimeoutError from error
        except OSError as error:
            raise CallError from error

    def _connect(self, checked: CheckedUrl, addresses: Sequence[Address], deadline: Deadline) -> socket.socket:
        """The first address that answers; each gets its share of the time, so that a silent one leaves some over."""
        for tried, address in enumerate(addresses):
            share = deadline.left() / (len(addresses) - tried)
            try:
                plain = socket.create_connection((str(address), checked.port), timeout=share)
            except OSError:
                continue
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if checked.scheme == "http":
                return plain
            try:
                plain.settimeout(deadline.left())
                return self._tls.wrap_socket(plain, server_hostname=checked.host)
            except OSError as error:  # ssl.SSLError and TimeoutError are such
                deadline.left()
                raise CallError from error
            finally:
                plain.close()  # wrapped, it holds no descriptor any more
        deadline.left()
        raise CallError


def retry_after_s(answer: Answer, *, now: datetime) -> float:
    """Seconds that the server asks us to wait (RFC 9110, 10.2.3: a number or a date); 0 where it asks nothing."""
    given = answer.headers.get("retry-after", "").strip()
    if given.isascii() and given.isdigit():
        return float(given[:_DIGITS])
    try:
        at = parsedate_to_datetime(given)
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


def system_resolver(host: str) -> list[str]:
    """Addresses as the operating system finds them; empty when there is no such host. `OSError` when it can't tell."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _NO_SUCH_HOST:
            return []
        raise
    return [str(entry[4][0]) for entry in found]


def _build_tls() -> ssl.SSLContext:
    """Mozilla's roots and the system's, so that a company's own authority counts where it is installed."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    return context


def _headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("ascii").lower(): value.decode("utf-8", "replace") for name, value in raw}


class _Stream(httpcore.NetworkStream):
    """A connected socket for httpcore, whose reads and writes all end with one deadline."""

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket = connected
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline stands instead
        try:
            self._socket.settimeout(self._deadline.left())
            return self._socket.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout from error
        except OSError as error:
            raise httpcore.ReadError from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - the deadline stands instead
        rest = memoryview(buffer)
        try:
            while rest:
                self._socket.settimeout(self._deadline.left())
                rest = rest[self._socket.send(rest) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout from error
        except OSError as error:
            raise httpcore.WriteError from error

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:  # noqa: ARG002 - nothing beyond the socket is told
        return None
