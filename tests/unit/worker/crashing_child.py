"""A decoder process whose decoder does what the photo's first word says, for the tests of the pool."""

import os
import signal
import sys
import time
from pathlib import Path

from vision.codec.decode import Allocate, Decoded, decode
from vision.codec.header import Animated, Limits
from worker.decode_child import main

HOARD: list[bytearray] = []


def decode_or_misbehave(data: bytes, limits: Limits, allocate: Allocate, animated: Animated) -> Decoded:
    word, _, rest = data.partition(b" ")
    match word:
        case b"segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case b"exit":
            os._exit(3)
        case b"crash-after-allocating":
            allocate((1000, 1000, 3))[:] = 1
            os.kill(os.getpid(), signal.SIGKILL)
        case b"hang":
            time.sleep(600)
        case b"hoard":
            while True:
                HOARD.append(bytearray(os.urandom(1 << 10) * (10 << 10)))
        case b"once":
            mark = Path(os.fsdecode(rest))
            if not mark.exists():
                mark.touch()
                os._exit(4)
            data = mark.with_suffix(".jpg").read_bytes()
    return decode(data, limits, allocate, animated)


if __name__ == "__main__":
    main(sys.argv[1:], decode_or_misbehave)
