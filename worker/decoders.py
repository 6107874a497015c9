"""Decoding apart: photos are decoded in child processes, so a decoder that crashes or hangs costs one photo."""

import fcntl
import json
import mmap
import os
import queue
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

import vision
from vision.arrays import RgbImage
from vision.codec.decode import AlphaPlane, DecodeFacts
from vision.codec.header import Animated, Limits
from vision.errors import ImageError
from worker.decode_child import LENGTH_BYTES, READY

COMMAND: Final = (sys.executable, "-m", "worker.decode_child")
MEMORY_BYTES: Final = 1_500 * 1024 * 1024
"""Private memory of a child. 50 MP need 0.6 GB as JPEG, 1.1 GB as WebP with alpha or 16 bit CMYK TIFF with alpha."""
_START_TIMEOUT_S: Final = 120.0
_STOP_TIMEOUT_S: Final = 5.0
_TRIES: Final = 2
_MESSAGE_BYTES: Final = 65_536


class DecoderStartError(RuntimeError):
    """A decoder process did not start: the installation is at fault, not the photo."""


class _ChildDiedError(Exception):
    pass


class DecodedHandle:
    """Pixels of one photo in shared memory: `image` (H, W, 3) uint8 sRGB, `alpha` (H, W) uint8 or None.

    `close` (or leaving the `with`) lets go of the memory; arrays taken before stay valid and hold it for as long as
    they live. The arrays may be written to.
    """

    def __init__(self, pixels: mmap.mmap, message: dict[str, Any], decode_ms: float) -> None:
        height, width = message["hw"]
        count = height * width
        self._image: RgbImage | None = _view(pixels, 0, (height, width, 3))
        self._alpha = _view(pixels, 3 * count, (height, width)) if message["alpha"] else None
        self.facts = DecodeFacts(**{name: message[name] for name in DecodeFacts.__dataclass_fields__})
        self.decode_ms = decode_ms

    @property
    def image(self) -> RgbImage:
        """(H, W, 3) uint8 sRGB, upright. Raises ValueError after `close`."""
        if self._image is None:
            raise ValueError("the handle is closed")
        return self._image

    @property
    def alpha(self) -> AlphaPlane | None:
        """(H, W) uint8, or None where every pixel is opaque."""
        return self._alpha

    def close(self) -> None:
        """Let go of the memory."""
        self._image = self._alpha = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class DecoderPool:
    """N decoder processes behind `submit`. May be used from many threads.

    A photo whose child dies is tried once more in a fresh one, as the kernel may have ended the child for a memory
    shortage that others made; then it is `failed_to_read_image`. A photo that takes longer than `timeout_s` has
    spent its time and is not tried again. The children end with this process, however that ends.
    `command` is a test's way in: a program that takes the arguments of `worker.decode_child`.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        children: int | None = None,
        timeout_s: float = 30.0,
        memory_bytes: int = MEMORY_BYTES,
        command: Sequence[str] = COMMAND,
    ) -> None:
        count = children or min(2, os.cpu_count() or 1)
        self._arguments = (str(memory_bytes), json.dumps(asdict(limits)))
        self._command = tuple(command)
        self._timeout_s = timeout_s
        self._seats: queue.SimpleQueue[_Child | None] = queue.SimpleQueue()
        # The kernel ties a child to the thread that started it: these live as long as the pool.
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decoder")
        for _ in range(count):
            self._seats.put(None)
            self._threads.submit(self._warm_up)

    def submit(self, data: bytes, animated: Animated = "refuse") -> Future[DecodedHandle]:
        """Decode the bytes of a photo; of several frames the first, where `animated` says so.

        The future raises ImageError for a bad photo, or DecoderStartError.
        """
        return self._threads.submit(self._decode, data, animated)

    def close(self) -> None:
        """Cancel what has not begun, wait for what has, end the children."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        while not self._seats.empty():
            if (child := self._seats.get()) is not None:
                child.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _warm_up(self) -> None:
        child = self._seats.get()
        try:
            child = child or _Child(self._command, self._arguments)
        finally:
            self._seats.put(child)

    def _decode(self, data: bytes, animated: Animated) -> DecodedHandle:
        child = self._seats.get()
        try:
            for _ in range(_TRIES):
                child = child or _Child(self._command, self._arguments)
                try:
                    return child.decode(data, animated, self._timeout_s)
                except TimeoutError as error:
                    child.kill()
                    child = None
                    detail = f"Decoding took longer than {self._timeout_s:g} s."
                    raise ImageError("failed_to_read_image", detail) from error
                except (_ChildDiedError, OSError):
                    child.kill()
                    child = None
            raise ImageError("failed_to_read_image", "The decoder crashed on this file.")
        finally:
            self._seats.put(child)


class _Child:
    """One decoder process and our end of its socket."""

    def __init__(self, command: tuple[str, ...], arguments: tuple[str, ...]) -> None:
        ours, theirs = socket.socketpair()
        fd = theirs.fileno()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, or a test's
                [*command, str(fd), str(os.getpid()), *arguments],
                pass_fds=[fd],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_environment(),
            )
        self._socket = ours
        ours.settimeout(_START_TIMEOUT_S)
        try:
            ready = ours.recv(len(READY)) == READY
        except OSError:
            ready = False
        if not ready:
            self.kill()
            raise DecoderStartError(f"the decoder process ended with {self._process.returncode} before it was ready")

    def decode(self, data: bytes, animated: Animated, timeout_s: float) -> DecodedHandle:
        """Raises ImageError (the photo's fault), TimeoutError, _ChildDiedError or OSError (the child is lost)."""
        started = time.monotonic()
        self._socket.settimeout(timeout_s)
        self._socket.sendall(len(data).to_bytes(LENGTH_BYTES, "big") + bytes([animated == "first_frame"]))
        self._socket.sendall(data)
        message, fd = self._receive(started + timeout_s)
        if fd is None:
            raise ImageError(message["code"], message["detail"])
        try:
            pixels = _map(fd, message)
        finally:
            os.close(fd)
        return DecodedHandle(pixels, message, (time.monotonic() - started) * 1000)

    def _receive(self, deadline: float) -> tuple[dict[str, Any], int | None]:
        body, fds = b"", list[int]()
        while len(body) < LENGTH_BYTES or len(body) < LENGTH_BYTES + int.from_bytes(body[:LENGTH_BYTES], "big"):
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            part, new, _, _ = socket.recv_fds(self._socket, _MESSAGE_BYTES, 1)
            fds += new
            if not part:
                for fd in fds:
                    os.close(fd)
                raise _ChildDiedError
            body += part
        return json.loads(body[LENGTH_BYTES:]), (fds[0] if fds else None)

    def kill(self) -> None:
        """End the process at once and reap it."""
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Close the socket, upon which the child ends by itself."""
        self._socket.close()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()


def _environment() -> dict[str, str]:
    """Ours, with this project importable from any folder and without thread pools that a decoder has no use for."""
    root = str(Path(str(vision.__file__)).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _map(fd: int, message: dict[str, Any]) -> mmap.mmap:
    """Map the child's memory after checking that it is as large as the message says and cannot shrink."""
    height, width = message["hw"]
    size_bytes = height * width * 4
    sealed = sys.platform != "linux" or fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
    if os.fstat(fd).st_size != size_bytes or not sealed:
        raise _ChildDiedError
    return mmap.mmap(fd, size_bytes)


def _view(pixels: mmap.mmap, offset: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.frombuffer(pixels, np.uint8, int(np.prod(shape)), offset).reshape(shape)
