"""What is no photo: cut off, empty, filled with zeros, of another kind under a photo's name."""

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from tests.corpus import deep_tiffs, heif_files, old_files, png_colours, tiff_files, web_files
from tests.corpus.sample import Sample, refused
from tests.photo_files import save

NOISE = np.random.default_rng(1).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def samples() -> Iterator[Sample]:
    yield from _cut()
    yield from _hollow()
    yield from _others()


def whole_files() -> dict[str, bytes]:
    """One file of each format, of noise, so that its pixels take nearly all of it."""
    by_pillow = {name: save(NOISE, name) for name in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "AVIF")}
    tiffs = {
        f"TIFF-{kind}": save(NOISE, "TIFF", compression=kind)
        for kind in (None, "tiff_lzw", "tiff_adobe_deflate", "jpeg")
    }
    coded = heif_files.coded(NOISE, b"hvc1")
    return {**by_pillow, **tiffs, "HEIF": heif_files.still(coded)}


def _cut() -> Iterator[Sample]:
    for name, data in whole_files().items():
        for share in (0.02, 0.3, 0.6, 0.9, 0.97):
            if share == 0.97 and name == "GIF":
                continue
            cut = data[: max(int(len(data) * share), 20)]
            yield refused(f"{name}-cut-at-{share:.0%}", cut, "failed_to_read_image", at_header=False)
        yield refused(f"{name}-signature-alone", data[:16], "failed_to_read_image")


def _hollow() -> Iterator[Sample]:
    yield refused("empty", b"", "failed_to_read_image")
    for size in (1, 100, 100_000):
        yield refused(f"zeros-{size}", bytes(size), "invalid_file_type")
    for name, data in whole_files().items():
        yield refused(f"{name}-behind-a-zero", b"\0" + data, "invalid_file_type")


def _others() -> Iterator[Sample]:
    photo = Image.fromarray(NOISE[:16, :16])
    for name in ("ICO", "PPM", "PDF", "EPS", "JPEG2000", "PCX", "TGA", "SGI", "DDS", "ICNS"):
        yield refused(f"other-{name}", save(photo, name), "invalid_file_type")
    for name, data in {
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "svg-with-mark": b"\xef\xbb\xbf  <?xml version='1.0'?><svg/>",
        "psd": b"8BPS\0\1" + bytes(64),
        "psb": b"8BPS\0\2" + bytes(64),
        "eps-with-preview": b"\xc5\xd0\xd3\xc6" + bytes(40),
        "jpeg-2000-stream": b"\xff\x4f\xff\x51" + bytes(40),
        "jpeg-xl": b"\xff\x0a" + bytes(40),
        "jpeg-xl-box": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40),
        "html": b"<!DOCTYPE html><title>not found</title>",
        "json": b'{"error": "not found"}',
        "zip": b"PK\x03\x04" + bytes(40),
        "gzip": b"\x1f\x8b\x08" + bytes(40),
        "wav": b"RIFF\x24\0\0\0WAVEfmt ",
        "fits": b"SIMPLE  =                    T" + bytes(2880),
        "exr": b"\x76\x2f\x31\x01" + bytes(40),
        "hdr": b"#?RADIANCE\n",
        "dicom": bytes(128) + b"DICM",
        "elf": b"\x7fELF" + bytes(60),
        "ftyp-alone": b"\0\0\0\x08ftyp",
    }.items():
        yield refused(f"other-{name}", data, "invalid_file_type")


FAMILIES: dict[str, Callable[[], Iterator[Sample]]] = {
    "web": web_files.samples,
    "png colours": png_colours.samples,
    "old": old_files.samples,
    "tiff": tiff_files.samples,
    "deep tiff": deep_tiffs.samples,
    "heif": heif_files.samples,
    "damaged": samples,
}
"""All files."""
