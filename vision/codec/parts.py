"""What the containers of our outputs hold, read without decoding: PNG chunks, RIFF chunks, JPEG markers, TIFF, AVIF."""

from collections.abc import Iterator
from typing import Final

from vision.codec.avif_boxes import parts_of_avif
from vision.codec.tiff_writer import parts_of_tiff

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PIXEL_PARTS: Final = frozenset({
    "IHDR", "PLTE", "tRNS", "sRGB", "IDAT", "IEND",
    "VP8 ", "VP8L", "VP8X", "ALPH",
    "SOF0", "DHT", "DQT", "DRI", "SOS", "APP0", "APP14",
})  # fmt: skip
"""Parts of a file that hold pixels or say how to read them: the only ones an output has."""
_JPEG_NAMES: Final = {0xC0: "SOF0", 0xC4: "DHT", 0xDB: "DQT", 0xDD: "DRI", 0xDA: "SOS", 0xFE: "COM"}
_JPEG_APP: Final = range(0xE0, 0xF0)
_JPEG_SOS: Final = 0xDA
_RASTER_AT: Final = 12


def foreign_parts(encoded: bytes) -> tuple[str, ...]:
    """Names of the file's parts that hold anything but pixels: EXIF, GPS, XMP, profiles, text, bytes behind the end.

    Empty for each output. Raises ValueError where it is none of the five formats, or too damaged to be walked through.
    """
    if encoded.startswith(PNG_SIGNATURE):
        parts = _png_parts(encoded)
    elif encoded.startswith(b"RIFF") and encoded[8:_RASTER_AT] == b"WEBP":
        parts = _webp_parts(encoded)
    elif encoded.startswith(b"\xff\xd8"):
        parts = _jpeg_parts(encoded)
    elif encoded.startswith(b"II*\0"):
        return tuple(parts_of_tiff(encoded))
    elif encoded[4:_RASTER_AT] == b"ftypavif":
        return tuple(parts_of_avif(encoded))
    else:
        raise ValueError("not a PNG, WebP, JPEG, TIFF or AVIF file")
    return tuple(name for name in parts if name not in _PIXEL_PARTS)


def _png_parts(encoded: bytes) -> Iterator[str]:
    at = len(PNG_SIGNATURE)
    name = ""
    while at + 8 <= len(encoded) and name != "IEND":
        length = int.from_bytes(encoded[at : at + 4], "big")
        name = encoded[at + 4 : at + 8].decode("latin-1")
        yield name
        at += 12 + length
    if at != len(encoded):
        yield "bytes behind the end"


def _webp_parts(encoded: bytes) -> Iterator[str]:
    end = 8 + int.from_bytes(encoded[4:8], "little")
    at = _RASTER_AT
    while at + 8 <= end:
        length = int.from_bytes(encoded[at + 4 : at + 8], "little")
        yield encoded[at : at + 4].decode("latin-1")
        at += 8 + length + length % 2
    if at != len(encoded):
        yield "bytes behind the end"


def _jpeg_parts(encoded: bytes) -> Iterator[str]:
    """Markers up to the first scan; JFIF's APP0 and Adobe's APP14 count by their signatures."""
    at, marker = 2, 0
    while marker != _JPEG_SOS:
        marker = encoded[at + 1]
        body = encoded[at + 4 : at + 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")]
        if marker in _JPEG_APP:
            known = body.startswith((b"JFIF\0", b"Adobe"))
            yield f"APP{marker - 0xE0}" if known else f"APP{marker - 0xE0} {body[:4].decode('latin-1')}"
        else:
            yield _JPEG_NAMES.get(marker, f"marker {marker:#x}")
        at += 4 + len(body)
    if not encoded.endswith(b"\xff\xd9"):
        yield "bytes behind the end"
