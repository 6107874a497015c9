"""Which format a file is of, told by its first bytes alone; its name and its media type are never asked."""

from typing import Final, Literal, TypeAlias

from vision.errors import ImageError

InputFormat: TypeAlias = Literal["jpeg", "png", "webp", "tiff", "bmp", "gif", "avif", "heif"]

INPUT_FORMATS: Final[tuple[InputFormat, ...]] = ("jpeg", "png", "webp", "tiff", "bmp", "gif", "avif", "heif")
SIGNATURE_BYTES: Final = 256
"""Of a file's start that `format_of` wants to see."""
ENDINGS: Final = (
    *(".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"),
    *(".bmp", ".gif", ".avif", ".heic", ".heif", ".hif"),
)
"""Of the names that such files usually have."""
READ_HERE: Final = "JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or HEIF"

_BYTES: Final[tuple[tuple[bytes, InputFormat], ...]] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"BM", "bmp"),
)
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIF_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1"})
_OTHERS: Final = (
    (b"%PDF", "a PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "an EPS"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"MM\0+", "a big-endian BigTIFF"),
    (b"\0\0\1\0", "an icon"),
    (b"\0\0\2\0", "a cursor"),
    (b"PK\x03\x04", "a ZIP"),
    (b"\x1f\x8b", "a gzip file"),
)


def format_of(start: bytes) -> InputFormat:
    """The format of a file that begins with these bytes.

    Raises ImageError invalid_file_type for every other; it names what it knows, so that a caller sees at once that an
    EPS was uploaded as a JPEG.
    """
    for signature, found in _BYTES:
        if start.startswith(signature):
            return found
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "webp"
    brands = _brands(start)
    if brands & _AVIF_BRANDS:
        return "avif"
    if brands & _HEIF_BRANDS:
        return "heif"
    name = _name_of_other(start)
    raise ImageError("invalid_file_type", f"{name}, not a {READ_HERE} file." if name else f"Not a {READ_HERE} file.")


def _brands(start: bytes) -> frozenset[bytes]:
    """The brands in the first box of an ISO base media file: the major one, then those it is compatible with."""
    if start[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(start[:4], "big"), len(start))
    return frozenset(start[at : at + 4] for at in (8, *range(16, end, 4)))


def _name_of_other(start: bytes) -> str | None:
    for signature, name in _OTHERS:
        if start.startswith(signature):
            return f"This is {name}"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<?xml", b"<svg", b"<!doctype svg")):
        return "This is an SVG or other XML"
    if text.startswith((b"<html", b"<!doctype html")):
        return "This is a web page"
    return None
