"""The header check: what a file claims to be, before anything of it is decoded."""

import struct
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, TypeAlias, cast

from PIL import Image

from vision.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

InputFormat: TypeAlias = Literal["jpeg", "png", "webp"]

PILLOW_FORMATS: Final = ("JPEG", "PNG", "WEBP")
UNREADABLE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What Pillow raises on files that are cut off or damaged; all of it means `failed_to_read_image`."""

_BOMBS: Final = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_ORIENTATION_TAG: Final = 0x0112
_LONGEST_SIGNATURE: Final = 12
_MEGA: Final = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What a file may be at most. The side is that of WebP, so that every input can become every output."""

    max_megapixels: float = 50.0
    max_bytes: int = 30 * 1024 * 1024
    max_side_px: int = 16_383


@dataclass(frozen=True)
class ImageHeader:
    """Claims of the header. `width_px` and `height_px` are as stored, `upright_hw` as shown."""

    format: InputFormat
    width_px: int
    height_px: int
    mode: str
    has_alpha: bool
    orientation: int
    frames: int

    @property
    def upright_hw(self) -> tuple[int, int]:
        """(height, width) once the EXIF orientation is applied."""
        hw = (self.height_px, self.width_px)
        return (hw[1], hw[0]) if self.is_turned else hw

    @property
    def is_turned(self) -> bool:
        """Whether the photo lies on its side, so that upright its width is its height."""
        return self.orientation >= 5  # noqa: PLR2004 - 5 to 8

    @property
    def megapixels(self) -> float:
        """Millions of pixels."""
        return self.width_px * self.height_px / _MEGA


def probe(source: bytes | BinaryIO | Path, limits: Limits) -> ImageHeader:
    """Read the header of a JPEG, PNG or WebP and hold it against the limits; no pixel is decoded.

    The file's first bytes decide its format, never its name. A stream is read from its start and left there.
    Phones write JPEGs with a second picture behind the first (MPO): that is a JPEG of one frame here. An animated
    PNG or WebP is refused: a first frame picked in silence is seldom the product photo that was meant.
    `Image.MAX_IMAGE_PIXELS` stays as it is, because it belongs to the whole process: these limits are checked here.
    Its own fence (an error at 179 megapixels) stands behind them; its warning counts as that error where a process
    turns warnings into errors.

    Raises ImageError: invalid_file_type, file_too_large, resolution_too_high, failed_to_read_image.
    """
    with _stream(source) as stream:
        size_bytes = stream.seek(0, SEEK_END)
        stream.seek(0)
        if size_bytes > limits.max_bytes:
            raise ImageError("file_too_large", f"{size_bytes} bytes; at most {limits.max_bytes} are accepted.")
        if size_bytes == 0:
            raise ImageError("failed_to_read_image", "The file is empty.")
        found = _sniff(stream.read(_LONGEST_SIGNATURE))
        stream.seek(0)
        header = _read(stream, found, limits)
        stream.seek(0)
    if header.frames > 1:
        raise ImageError("invalid_file_type", "The picture is animated; send a still JPEG, PNG or WebP.")
    return header


@contextmanager
def _stream(source: bytes | BinaryIO | Path) -> "Iterator[BinaryIO]":
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        yield BytesIO(source) if isinstance(source, bytes) else source


def _sniff(start: bytes) -> InputFormat:
    if start.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "webp"
    raise ImageError("invalid_file_type", "Not a JPEG, PNG or WebP file.")


def _read(stream: BinaryIO, found: InputFormat, limits: Limits) -> ImageHeader:
    try:
        with Image.open(stream, formats=PILLOW_FORMATS) as image:
            check_size(image.width, image.height, limits)
            return ImageHeader(
                format=found,
                width_px=image.width,
                height_px=image.height,
                mode=image.mode,
                has_alpha=image.has_transparency_data,
                orientation=orientation_of(image),
                frames=1 if found == "jpeg" else int(getattr(image, "n_frames", 1)),
            )
    except _BOMBS as error:
        raise ImageError("resolution_too_high", "Far more pixels than any photo has.") from error
    except UNREADABLE as error:
        raise ImageError("failed_to_read_image", f"The header of the {found} file is damaged or cut off.") from error


def check_size(width_px: int, height_px: int, limits: Limits) -> None:
    """Hold a size against the limits. Raises ImageError: resolution_too_high, failed_to_read_image (a side of 0)."""
    if min(width_px, height_px) < 1:
        raise ImageError("failed_to_read_image", "The picture has no pixels.")
    if max(width_px, height_px) > limits.max_side_px:
        detail = f"{width_px}x{height_px} pixels; a side may have {limits.max_side_px} at most."
        raise ImageError("resolution_too_high", detail)
    if width_px * height_px > limits.max_megapixels * _MEGA:
        detail = f"{width_px}x{height_px} pixels; at most {limits.max_megapixels:g} megapixels are accepted."
        raise ImageError("resolution_too_high", detail)


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation 1..8 of an opened picture; 1 where EXIF is absent, damaged or says something else.

    Reads `image.info` rather than `image.getexif()`, which decodes a PNG to look behind its pixels.
    """
    exif = Image.Exif()
    try:
        exif.load(cast("bytes", image.info.get("exif", b"")))
        value = exif.get(_ORIENTATION_TAG, 1)
    except UNREADABLE:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1  # noqa: PLR2004 - the eight of TIFF 6.0, tag 274
