"""Memory and time that a decoder process takes for 50 megapixels, by format.

    python -m benchmarks.decode_memory [--only TIFF]

Each photo goes through a decoder process of its own, as in a worker. `peak MB` is the most memory that the process
ever held, the shared pixels that it hands over included.
"""

import argparse
import time
from pathlib import Path

from tests.corpus.large import PHOTOS
from vision.codec.header import Limits
from vision.errors import ImageError
from worker.decoders import DecoderPool

_MEGA = 1e6


def peak_bytes(pid: int) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def measure(name: str, data: bytes) -> None:
    with DecoderPool(Limits(max_bytes=100 << 20), children=1, timeout_s=120) as pool:
        started = time.perf_counter()
        try:
            with pool.submit(data).result() as photo:
                result = f"{photo.image.size / 3 / _MEGA:.0f} MP"
        except ImageError as error:
            result = str(error)
        took_s = time.perf_counter() - started
        children = {
            int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()
        }
        peak = max(peak_bytes(pid) for pid in children)
        print(f"| {name} | {len(data) / _MEGA:.1f} | {took_s:.1f} | {peak / _MEGA:.0f} | {result} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names that hold this")
    only = parser.parse_args().only
    print("| file | MB | s | peak MB | result |\n| --- | --- | --- | --- | --- |")
    for name, make in PHOTOS.items():
        if only in name:
            measure(name, make())


if __name__ == "__main__":
    main()
