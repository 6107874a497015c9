"""The decoder process: one photo after the other, from a socket to shared memory. Imports no torch.

`python -m worker.decode_child FD PARENT_PID MEMORY_BYTES LIMITS_JSON`, started by `worker.decoders`.
Answers are JSON, never pickles: what comes out of a process that reads strangers' files is data.
"""

import ctypes
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict
from math import prod
from typing import Any, Final, Self, TypeAlias

import numpy as np
import pi_heif
from numpy.typing import NDArray
from PIL import AvifImagePlugin

from vision.codec.decode import Allocate, Decoded, decode
from vision.codec.header import Animated, Limits
from vision.errors import ImageError

Decode: TypeAlias = Callable[[bytes, Limits, Allocate, Animated], Decoded]

LENGTH_BYTES: Final = 8
READY: Final = b"R"
_PR_SET_PDEATHSIG: Final = 1
_PLANES: Final = 4


def main(arguments: list[str], decode_photo: Decode = decode) -> None:
    """Serve until the parent closes its end. `decode_photo` is for tests, which bring a decoder that crashes."""
    socket_fd, parent_pid, memory_bytes, limits = arguments
    _die_with(int(parent_pid))
    # The parent alone decides when to stop: Ctrl-C and a service manager's TERM reach the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Pillow warns of damaged metadata and goes on: no news in a process that reads what strangers send.
    warnings.filterwarnings("ignore", module="PIL")
    _quieten_libraries()
    # One photo at a time in one thread: cores are shared by having several children, and the stack of each thread of
    # a machine with many cores would count against the memory.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    pi_heif.options.DECODE_THREADS = 1
    _limit_memory(int(memory_bytes))
    with socket.socket(fileno=int(socket_fd)) as parent:
        parent.sendall(READY)
        while (asked := _receive(parent)) is not None:
            _answer(parent, *asked, Limits(**json.loads(limits)), decode_photo)


def _die_with(parent_pid: int) -> None:
    """Ask the kernel for SIGKILL when the parent goes; elsewhere than on Linux the closed socket has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            sys.exit(1)  # it was gone before we asked


def _quieten_libraries() -> None:
    """Libraries of C tell the terminal what is wrong with a stranger's file; Python alone goes on writing there."""
    sys.stderr = os.fdopen(os.dup(2), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _limit_memory(memory_bytes: int) -> None:
    """Cap the private memory; shared libraries and the shared pixels do not count. No core dumps of photos."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _receive(parent: socket.socket) -> tuple[bytes, Animated] | None:
    head = _read_exactly(parent, LENGTH_BYTES + 1)
    data = None if head is None else _read_exactly(parent, int.from_bytes(head[:LENGTH_BYTES], "big"))
    return None if head is None or data is None else (data, "first_frame" if head[LENGTH_BYTES] else "refuse")


def _read_exactly(parent: socket.socket, count: int) -> bytes | None:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        got = parent.recv_into(view)
        if got == 0:
            return None
        view = view[got:]
    return bytes(data)


def _answer(parent: socket.socket, data: bytes, animated: Animated, limits: Limits, decode_photo: Decode) -> None:
    with SharedPixels() as pixels:
        try:
            decoded = decode_photo(data, limits, pixels.allocate, animated)
            facts = {"hw": decoded.image.shape[:2], "alpha": decoded.alpha is not None, **asdict(decoded.facts)}
            del decoded
        except ImageError as error:
            _send(parent, {"code": error.code, "detail": error.detail}, [])
        except MemoryError:
            detail = "Decoding needs more memory than a photo may take."
            _send(parent, {"code": "failed_to_read_image", "detail": detail}, [])
        else:
            _send(parent, facts, [pixels.seal()])


def _send(parent: socket.socket, message: dict[str, Any], fds: list[int]) -> None:
    body = json.dumps(message).encode()
    socket.send_fds(parent, [len(body).to_bytes(LENGTH_BYTES, "big") + body], fds)


class SharedPixels:
    """Anonymous shared memory: (H, W, 3), then (H, W). It has no name, so the kernel frees it with its last user.

    That holds however the users end, and no size of /dev/shm bounds it. Pages that nobody writes take no memory.
    """

    def __init__(self) -> None:
        if sys.platform == "linux":
            self._fd = os.memfd_create("packshot-pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        else:
            with tempfile.TemporaryFile() as file:
                self._fd = os.dup(file.fileno())
        self._map: mmap.mmap | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._map = None
        os.close(self._fd)

    def allocate(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Memory for the image (H, W, 3), then for the alpha plane (H, W)."""
        height, width = shape[:2]
        if self._map is None:
            os.ftruncate(self._fd, height * width * _PLANES)
            self._map = mmap.mmap(self._fd, height * width * _PLANES)
            return np.frombuffer(self._map, np.uint8, prod(shape)).reshape(shape)
        offset = height * width * (_PLANES - 1)
        return np.frombuffer(self._map, np.uint8, prod(shape), offset).reshape(shape)

    def seal(self) -> int:
        """The descriptor, of a size that is final: memory that shrinks under its reader would kill it."""
        if sys.platform == "linux":
            fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return self._fd


if __name__ == "__main__":
    main(sys.argv[1:])
