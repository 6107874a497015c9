"""Encoders of a 12 MP cutout: milliseconds, bytes and for how long the interpreter is blocked.

    python benchmarks/encoders.py [--rounds 5]

The picture is scikit-image's `coffee`, enlarged, with a sensor's noise and one pass through a camera's JPEG, under a
disc of alpha with soft edges; pixels under alpha 0 are zero. `lock ms` is the longest time for which another thread
had to wait for the interpreter lock: an encoder that holds it blocks the whole pipeline. Encoders whose package is
not installed are left out; Packshot itself needs isal and Pillow.
"""

import argparse
import importlib
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from PIL import Image
from skimage import data

from vision.codec.encode import encode_jpeg, encode_png, encode_webp

Encoder = tuple[str, Callable[[], bytes]]


def picture(hw: tuple[int, int] = (3000, 4000)) -> np.ndarray:
    rng = np.random.default_rng(0)
    large = cv2.resize(data.coffee(), (hw[1], hw[0]), interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(large + rng.normal(0, 4, large.shape), 0, 255).astype(np.uint8)
    camera = BytesIO()
    Image.fromarray(noisy).save(camera, "JPEG", quality=93)
    image = np.asarray(Image.open(camera))
    y, x = np.mgrid[: hw[0], : hw[1]]
    alpha = np.clip((0.42 * hw[0] - np.hypot(y - hw[0] / 2, x - hw[1] / 2)) / 6 + 0.5, 0, 1)
    rgba = np.dstack([image, np.rint(alpha * 255).astype(np.uint8)])
    rgba[rgba[..., 3] == 0] = 0
    return rgba


def flatten(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def pillow(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def opencv(pixels: np.ndarray, suffix: str, *options: int) -> bytes:
    code = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR  # noqa: PLR2004
    return bytes(cv2.imencode(suffix, cv2.cvtColor(pixels, code), options)[1])


def optional(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def png_encoders(rgba: np.ndarray) -> Iterator[Encoder]:
    yield "png   ours (Up filter, ISA-L 1)", lambda: encode_png(rgba)
    yield "png   Pillow, default", lambda: pillow(rgba, "PNG")
    yield "png   Pillow, level 1", lambda: pillow(rgba, "PNG", compress_level=1)
    yield "png   OpenCV, default", lambda: opencv(rgba, ".png")
    yield (
        "png   OpenCV, level 1, RLE",
        lambda: opencv(rgba, ".png", cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, 3),
    )
    if fpng := optional("fpng_py"):
        height, width = rgba.shape[:2]
        yield "png   fpng", lambda: fpng.fpng_encode_image_to_memory(rgba.tobytes(), width, height, 4, 0)
    for filtering in ("none", "up"):
        yield from vips_encoder(rgba, f"png   libvips, level 1, {filtering}", ".png", compression=1, filter=filtering)
    if zlib_ng := optional("zlib_ng.zlib_ng"):
        rows = np.diff(rgba.reshape(rgba.shape[0], -1), axis=0, prepend=np.uint8(0))
        for level in (1, 2):
            yield f"png   Up filter done, zlib-ng {level}", lambda level=level: zlib_ng.compress(rows, level)


def vips_encoder(pixels: np.ndarray, label: str, suffix: str, **options: Any) -> Iterator[Encoder]:
    if pyvips := optional("pyvips"):
        height, width, bands = pixels.shape
        source = pyvips.Image.new_from_memory(pixels.data, width, height, bands, "uchar")
        yield label, lambda: source.write_to_buffer(suffix, **options)


def lossy_encoders(rgba: np.ndarray) -> Iterator[Encoder]:
    flat, background = flatten(rgba), rgba[..., 3] == 0
    yield "jpg   ours (white is exact)", lambda: encode_jpeg(flat, background)
    yield "jpg   Pillow 92, 4:4:4", lambda: pillow(flat, "JPEG", quality=92, subsampling=0)
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    yield (
        "jpg   OpenCV 92, 4:4:4",
        lambda: opencv(flat, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling),
    )
    yield from vips_encoder(flat, "jpg   libvips 92, 4:4:4", ".jpg", Q=92, subsample_mode="off")
    yield "webp  ours (Pillow 90, method 1, exact)", lambda: encode_webp(rgba)
    for method in range(5):
        yield (
            f"webp  Pillow 90, method {method}",
            lambda method=method: pillow(rgba, "WEBP", quality=90, method=method),
        )
    yield "webp  OpenCV 90", lambda: opencv(rgba, ".webp", cv2.IMWRITE_WEBP_QUALITY, 90)


def measure(encode: Callable[[], bytes]) -> tuple[float, float]:
    """(seconds of one call, longest gap in seconds that a thread which wakes each millisecond saw meanwhile)."""
    took: list[float] = []

    def run() -> None:
        started = time.perf_counter()
        encode()
        took.append(time.perf_counter() - started)

    worker = threading.Thread(target=run)
    worker.start()
    longest, last = 0.0, time.perf_counter()
    while worker.is_alive():
        time.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return took[0], longest


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the encoders of a 12 MP cutout.")
    parser.add_argument("--rounds", type=int, default=5, help="the fastest of so many counts")
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    rgba = picture()
    print("| encoder | ms | MB | lock ms |\n| --- | ---: | ---: | ---: |")
    for label, encode in [*png_encoders(rgba), *lossy_encoders(rgba)]:
        times, locks = zip(*(measure(encode) for _ in range(rounds)), strict=True)
        size_mb = len(encode()) / 1e6
        print(f"| {label} | {min(times) * 1000:.0f} | {size_mb:.2f} | {min(locks) * 1000:.0f} |", flush=True)


if __name__ == "__main__":
    main()
