"""The header check: what a file claims to be, before anything of it is decoded."""

import struct
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, TypeAlias, cast

from PIL import Image

from vision.codec import bmff, gif, tiff
from vision.codec.bmff import Crop, Primaries
from vision.codec.png_colours import check_range
from vision.codec.signature import SIGNATURE_BYTES, InputFormat, format_of
from vision.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

Animated: TypeAlias = Literal["refuse", "first_frame"]
"""What becomes of a file of several frames or pages."""

PILLOW_NAMES: Final[dict[InputFormat, str]] = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "tiff": "TIFF",
    "bmp": "BMP",
    "gif": "GIF",
    "avif": "AVIF",
}
"""Formats that Pillow reads; a photo is opened as the one format that its first bytes name."""
PILLOW_FORMATS: Final = tuple(PILLOW_NAMES.values())
UNREADABLE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What Pillow, libavif and libheif raise on files that are cut off or damaged: `failed_to_read_image`."""

BOMBS: Final = (Image.DecompressionBombError, Image.DecompressionBombWarning)
"""Pillow's own fence, far behind our limits."""
_ORIENTATION_TAG: Final = 0x0112
_MEGA: Final = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What a file may be at most. The side is that of WebP, so that every input can become every output."""

    max_megapixels: float = 50.0
    max_bytes: int = 30 * 1024 * 1024
    max_side_px: int = 16_383


@dataclass(frozen=True)
class ImageHeader:
    """Claims of the header. `width_px` and `height_px` are as stored (of the `crop`, if any), `upright_hw` as shown.

    `orientation`: EXIF's number, wherever the format keeps it. `frames` is counted up to 2, pages are frames.
    `bits`, `is_inverted` and `by_samples` are those of a TIFF, `crop` and `primaries` those of AVIF and HEIF.
    """

    format: InputFormat
    width_px: int
    height_px: int
    orientation: int
    frames: int = 1
    bits: int = 8
    is_inverted: bool = False
    by_samples: bool = False
    crop: Crop | None = None
    primaries: Primaries = "srgb"

    @property
    def coded_hw(self) -> tuple[int, int]:
        """(height, width) that a decoder comes to, before it crops and turns."""
        return (self.height_px, self.width_px) if self.crop is None else self.crop.coded_hw

    @property
    def upright_hw(self) -> tuple[int, int]:
        """(height, width) as shown."""
        return (self.width_px, self.height_px) if self.is_turned else (self.height_px, self.width_px)

    @property
    def is_turned(self) -> bool:
        """Whether the photo lies on its side, so that upright its width is its height."""
        return self.orientation >= 5  # noqa: PLR2004 - 5 to 8

    @property
    def megapixels(self) -> float:
        """Millions of pixels."""
        return self.width_px * self.height_px / _MEGA


def probe(source: bytes | BinaryIO | Path, limits: Limits, *, animated: Animated = "refuse") -> ImageHeader:
    """Read a photo's header and hold it against the limits; no pixel is decoded.

    The file's first bytes decide its format, never its name. A stream is read from its start and left there.
    Phones write JPEGs with a second picture behind the first (MPO): that is a JPEG of one frame here, as a HEIF of
    several pictures is that of its primary one. Files of several frames (GIF, PNG, WebP, AVIF) or pages (TIFF) are
    refused unless `animated` says to take the first: one picked in silence is seldom the product photo that was meant.
    `Image.MAX_IMAGE_PIXELS` stays as it is, because it belongs to the whole process: these limits are checked here.
    Its own fence (an error at 179 megapixels) stands behind them; its warning counts as that error where a process
    turns warnings into errors.

    Raises ImageError: invalid_file_type, animated_image, file_too_large, resolution_too_high, failed_to_read_image.
    """
    with _stream(source) as stream:
        size_bytes = stream.seek(0, SEEK_END)
        stream.seek(0)
        if size_bytes > limits.max_bytes:
            raise ImageError("file_too_large", f"{size_bytes} bytes; at most {limits.max_bytes} are accepted.")
        if size_bytes == 0:
            raise ImageError("failed_to_read_image", "The file is empty.")
        found = format_of(stream.read(SIGNATURE_BYTES))
        stream.seek(0)
        header = _read(stream, found, size_bytes)
        stream.seek(0)
    height_px, width_px = header.coded_hw
    check_size(width_px, height_px, limits)
    require_still(header.format, animated, is_animated=header.frames > 1)
    return header


def require_still(input_format: str, animated: Animated, *, is_animated: bool) -> None:
    """`ImageError` animated_image for a photo of several frames, unless the first of them shall be taken."""
    if is_animated and animated == "refuse":
        what = "several pages" if input_format == "tiff" else "several frames"
        detail = f"The {input_format} has {what}; send one picture, or animated=first_frame to take the first."
        raise ImageError("animated_image", detail)


@contextmanager
def _stream(source: bytes | BinaryIO | Path) -> "Iterator[BinaryIO]":
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        yield BytesIO(source) if isinstance(source, bytes) else source


def _read(stream: BinaryIO, found: InputFormat, size_bytes: int) -> ImageHeader:
    try:
        if found == "tiff":
            return ImageHeader(found, **vars(tiff.read_claims(stream)))
        if found == "gif":
            return ImageHeader(found, orientation=1, **vars(gif.read_claims(stream.read())))
        if found in {"avif", "heif"}:
            claims = vars(bmff.read_claims(stream, size_bytes))
            return ImageHeader(claims.pop("codec"), **claims)
        if found == "png":
            check_range(stream)
        with Image.open(stream, formats=(PILLOW_NAMES[found],)) as image:
            return ImageHeader(
                format=found,
                width_px=image.width,
                height_px=image.height,
                orientation=orientation_of(image),
                frames=1 if found == "jpeg" else min(int(getattr(image, "n_frames", 1)), 2),
            )
    except BOMBS as error:
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
    """EXIF orientation 1..8 of an opened JPEG, PNG or WebP; 1 where EXIF is absent, damaged or says something else.

    Reads `image.info` rather than `image.getexif()`, which decodes a PNG to look behind its pixels.
    """
    exif = Image.Exif()
    try:
        exif.load(cast("bytes", image.info.get("exif", b"")))
        value = exif.get(_ORIENTATION_TAG, 1)
    except UNREADABLE:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1  # noqa: PLR2004 - the eight of TIFF 6.0, tag 274
