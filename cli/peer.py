"""rembg's HTTP server, measured on the same photos; only where somebody has installed it with its weights."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

from cli.ports import free_port
from cli.samples import with_comment

_START_S = 120.0
_TIMEOUT_S = 600.0


class PeerError(Exception):
    """The peer is not here or does not answer; the message says what helps."""


@dataclass(frozen=True)
class Peer:
    """A program to start, or a server that runs already."""

    program: str | None
    url: str | None

    @classmethod
    def find(cls, command: str, url: str | None) -> Self:
        """`PeerError` where neither a server is named nor rembg and its weights are installed."""
        if url is not None:
            return cls(None, url.rstrip("/"))
        program = shutil.which(command)
        if program is None:
            raise PeerError(
                f"--peer needs rembg ({command!r} is not on the PATH). Install it in an environment of its own: "
                "pip install 'rembg[cpu,cli]', then --peer-command /path/to/rembg; or name a server with --peer-url."
            )
        folder = Path(os.environ.get("U2NET_HOME") or Path.home() / ".u2net")
        if not (folder / "u2net.onnx").is_file():
            raise PeerError(
                f"--peer needs rembg's weights: there is no {folder / 'u2net.onnx'}. `rembg d u2net` fetches them."
            )
        return cls(program, None)


@contextmanager
def running_peer(peer: Peer) -> Iterator[str]:
    """The peer's URL; started here if need be, and ended then."""
    if peer.url is not None or peer.program is None:
        yield peer.url or ""
        return
    port = free_port()
    arguments = [peer.program, "s", "--host", "127.0.0.1", "--port", str(port), "--log_level", "warning"]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + _START_S
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise PeerError(f"{' '.join(arguments)} did not answer.")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=2, trust_env=False)
    except httpx.TransportError:
        return False
    return True


def measure_peer(url: str, photo: bytes, *, images: int, clients: int) -> float:
    """Images a second, PNG in full size, uploads and downloads included; a first photo loads the model."""
    with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as client, ThreadPoolExecutor(clients) as pool:

        def one(name: str) -> None:
            files = {"file": (f"{name}.jpg", with_comment(photo, name))}
            reply = client.post(f"{url}/api/remove", files=files, data={"model": "u2net"})
            if reply.is_error:
                raise PeerError(f"The peer answered {reply.status_code}: {reply.text[:200]}")

        one("warm")
        start = time.perf_counter()
        list(pool.map(one, [f"photo-{number}" for number in range(images)]))
        return images / (time.perf_counter() - start)
