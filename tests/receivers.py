"""Servers on the loopback address that answer as badly as a test wants."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.parser import Parser
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]  # names in lower case
    body: bytes


# What to send back: raw bytes, piece by piece.
Handler = Callable[[Received], Iterable[bytes]]


def reply(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> list[bytes]:
    """A well-formed answer."""
    lines = {"Content-Length": str(len(body)), "Content-Type": "image/png", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return [f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode(), body]


def redirect(status: int, location: str) -> list[bytes]:
    return reply(status, headers={"Location": location})


def trickle(body: bytes, pause_s: float) -> Iterable[bytes]:
    """One byte at a time."""
    for byte in body:
        yield bytes([byte])
        time.sleep(pause_s)


class Receiver:
    """Answers each connection once, each in a thread of its own, by the handler of its path."""

    def __init__(
        self, default: Handler | None = None, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.routes: dict[str, Handler] = {}
        self.received: list[Received] = []
        self.connections = 0
        self._default = default or (lambda _: reply(404))
        self._tls = tls
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    @property
    def allow(self) -> str:
        """What `egress_allow` needs to open this server."""
        return f"127.0.0.1/32:{self.port}"

    def url(self, path: str = "/", *, host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            thread = threading.Thread(target=self._answer, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _answer(self, plain: socket.socket) -> None:
        try:
            connection = self._tls.wrap_socket(plain, server_side=True) if self._tls else plain
        except OSError:
            plain.close()
            self._open.discard(plain)
            return
        self._open.add(connection)
        try:
            with connection, contextlib.suppress(OSError):
                request = _read(connection)
                self.received.append(request)
                handler = self.routes.get(request.target.partition("?")[0], self._default)
                for piece in handler(request):
                    if self._closing.is_set():
                        return
                    connection.sendall(piece)
        finally:
            self._open -= {plain, connection}


def _read(connection: socket.socket) -> Received:
    raw = bytearray()
    while b"\r\n\r\n" not in raw:
        raw += _some(connection)
    head, _, body = bytes(raw).partition(b"\r\n\r\n")
    first, _, rest = head.decode().partition("\r\n")
    headers = {name.lower(): value for name, value in Parser().parsestr(rest).items()}
    while len(body) < int(headers.get("content-length", "0")):
        body += _some(connection)
    method, target, _ = first.split(" ")
    return Received(method, target, headers, body)


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError
    return data
