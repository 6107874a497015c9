"""The formats of outputs: how each is called, what it is to others. No encoder is loaded here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

PictureFormat: TypeAlias = Literal["png", "png8", "webp", "jpg", "avif", "tiff"]
OutputFormat: TypeAlias = Literal["png", "png8", "webp", "jpg", "avif", "tiff", "zip"]

MIN_QUALITY: Final = 50
MAX_QUALITY: Final = 100


@dataclass(frozen=True)
class Format:
    """`quality` is the default of a format that has one, on its own scale; None where files are lossless."""

    media_type: str
    ending: str
    quality: int | None = None


FORMATS: Final[Mapping[OutputFormat, Format]] = {
    "png": Format("image/png", "png"),
    "png8": Format("image/png", "png"),  # up to 256 colours
    "webp": Format("image/webp", "webp", quality=90),
    "jpg": Format("image/jpeg", "jpg", quality=92),
    "avif": Format("image/avif", "avif", quality=85),
    "tiff": Format("image/tiff", "tiff"),
    "zip": Format("application/zip", "zip", quality=92),  # of the JPEG in it
}

MEDIA_TYPES: Final[Mapping[str, str]] = {name: each.media_type for name, each in FORMATS.items()}
"""By format. Each ending is a format's name too."""
_ENDINGS: Final[Mapping[str, str]] = {name: each.ending for name, each in FORMATS.items()}


def ending_of(name: str) -> str:
    """Of the name of a format's files, without its dot; KeyError for a word that is no format."""
    return _ENDINGS[name]


def find_format(word: str) -> OutputFormat | None:
    """The format that a word means, whatever its case; `jpeg` and `tif` are spellings of `jpg` and `tiff`."""
    lower = word.lower()
    lower = {"jpeg": "jpg", "tif": "tiff"}.get(lower, lower)
    return next((name for name in get_args(OutputFormat) if name == lower), None)
