"""Encoders of a 12 MP cutout: milliseconds, bytes and for how long the interpreter is blocked.

    python -m benchmarks.encoders [--rounds 5] [--only png8]

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

from vision.codec.encode import (
    encode_avif,
    encode_jpeg,
    encode_matte,
    encode_png,
    encode_png8,
    encode_tiff,
    encode_webp,
    encode_webp_lossless,
)
from vision.fitting import Encoded, fit

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
    yield "webp  ours, lossless (effort 20, method 1)", lambda: encode_webp_lossless(rgba)
    for effort, method in ((0, 0), (20, 0), (50, 3)):
        yield (
            f"webp  Pillow, lossless, effort {effort}, method {method}",
            lambda effort=effort, method=method: pillow(
                rgba, "WEBP", lossless=True, quality=effort, method=method, exact=True
            ),
        )
    yield "webp  OpenCV 90", lambda: opencv(rgba, ".webp", cv2.IMWRITE_WEBP_QUALITY, 90)


def other_encoders(rgba: np.ndarray) -> Iterator[Encoder]:
    flat, background = flatten(rgba), rgba[..., 3] == 0
    nowhere = np.zeros_like(background)
    yield "avif  ours 85 on white (white is exact)", lambda: encode_avif(flat, background, quality=85)[0]
    yield "avif  ours 85, transparent", lambda: encode_avif(rgba, nowhere, quality=85)[0]
    for speed in (6, 7, 9):
        yield (
            f"avif  Pillow 85, 4:4:4, speed {speed}",
            lambda speed=speed: pillow(
                rgba, "AVIF", quality=85, subsampling="4:4:4", speed=speed, max_threads=1, advanced={"a:lossless": "1"}
            ),
        )
    yield "tiff  ours (differences, ISA-L 1)", lambda: encode_tiff(rgba)
    yield "tiff  Pillow, deflate", lambda: pillow(rgba, "TIFF", compression="tiff_adobe_deflate")
    yield "tiff  Pillow, LZW", lambda: pillow(rgba, "TIFF", compression="tiff_lzw")
    yield "png8  ours", lambda: encode_png8(rgba, nowhere)
    picture = Image.fromarray(rgba)
    yield "png8  Pillow, octree", lambda: _saved(picture.quantize(256, Image.Quantize.FASTOCTREE))
    if imagequant := optional("imagequant"):
        yield "png8  libimagequant", lambda: _saved(imagequant.quantize_pil_image(picture))
    alpha = rgba[..., 3].astype(np.float32) / 255 * np.float32(0.9999)
    yield "matte 8 bits", lambda: encode_matte(alpha, depth=8)
    yield "matte 16 bits (stored)", lambda: encode_matte(alpha)


def limited(rgba: np.ndarray) -> Iterator[Encoder]:
    """The search for the highest quality within a limit that half of the qualities miss."""
    flat, background = flatten(rgba), rgba[..., 3] == 0

    def search(encode: Callable[[int], Encoded], most: int) -> bytes:
        least, whole = len(encode(50).file), len(encode(most).file)
        return fit(encode, most=most, max_bytes=(least + whole) // 2).file

    yield (
        "jpg   92 at most, max_bytes (with two encodings to set it)",
        lambda: search(lambda quality: Encoded(encode_jpeg(flat, background, quality=quality)), 92),
    )


def _saved(picture: Image.Image) -> bytes:
    out = BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def errors(rgba: np.ndarray) -> Iterator[tuple[str, float, float]]:
    """(encoder of 256 colours, PSNR in dB as it is seen on black, the same through a blur, as from afar)."""
    picture = Image.fromarray(rgba)
    nowhere = np.zeros(rgba.shape[:2], np.bool_)
    made = {"ours": encode_png8(rgba, nowhere), "octree": _saved(picture.quantize(256, Image.Quantize.FASTOCTREE))}
    if imagequant := optional("imagequant"):
        made["libimagequant"] = _saved(imagequant.quantize_pil_image(picture))

    def seen(pixels: np.ndarray) -> np.ndarray:
        return pixels[..., :3].astype(np.float32) * (pixels[..., 3:] / np.float32(255))

    def psnr(one: np.ndarray, other: np.ndarray) -> float:
        return float(10 * np.log10(255**2 / ((one - other) ** 2).mean()))

    wanted = seen(rgba)
    for name, encoded in made.items():
        got = seen(np.asarray(Image.open(BytesIO(encoded)).convert("RGBA")))
        blurred = (cv2.GaussianBlur(each, (0, 0), 1.5) for each in (wanted, got))
        yield name, psnr(wanted, got), psnr(*blurred)


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
    parser.add_argument("--only", default="", help="encoders whose label begins so")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    cv2.setNumThreads(1)
    rgba = picture()
    print("| encoder | ms | MB | lock ms |\n| --- | ---: | ---: | ---: |")
    for label, encode in [*png_encoders(rgba), *lossy_encoders(rgba), *other_encoders(rgba), *limited(rgba)]:
        if not label.startswith(arguments.only):
            continue
        times, locks = zip(*(measure(encode) for _ in range(rounds)), strict=True)
        size_mb = len(encode()) / 1e6
        print(f"| {label} | {min(times) * 1000:.0f} | {size_mb:.2f} | {min(locks) * 1000:.0f} |", flush=True)
    if "png8".startswith(arguments.only[:4]):
        print("\n| 256 colours | PSNR, dB | blurred, dB |\n| --- | ---: | ---: |")
        for name, plain, blurred in errors(rgba):
            print(f"| {name} | {plain:.1f} | {blurred:.1f} |", flush=True)


if __name__ == "__main__":
    main()
