"""The best quality whose file is small enough."""

from collections.abc import Callable
from dataclasses import dataclass

from vision.errors import ImageError
from vision.formats import MIN_QUALITY


@dataclass(frozen=True)
class Encoded:
    """A file, and the quality that it was written with; None where nothing is lost."""

    file: bytes
    quality: int | None = None


def idle() -> None:
    """Nobody asks how far the work is."""


def fit(
    encode: Callable[[int], Encoded], *, most: int, max_bytes: int | None, progress: Callable[[], None] = idle
) -> Encoded:
    """The file of the highest quality, from `most` down to 50, that has at most `max_bytes`.

    Files grow with quality, so halving finds it in at most eight encodings: what one step more would take was tried and
    is too large. One encoding where `most` fits, or nothing limits it; two where even 50 does not fit, which is
    `ImageError` `output_too_large`. `progress` is called after each that was too large.
    """
    best = encode(most)
    if max_bytes is None or len(best.file) <= max_bytes:
        return best
    progress()
    least = encode(MIN_QUALITY) if most > MIN_QUALITY else best
    if len(least.file) > max_bytes:
        raise too_large(len(least.file), max_bytes)
    best, fits, exceeds = least, MIN_QUALITY, most
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        progress()
        tried = encode(middle)
        if len(tried.file) <= max_bytes:
            best, fits = tried, middle
        else:
            exceeds = middle
    return best


def within(file: bytes, max_bytes: int | None) -> Encoded:
    """A lossless file, whose size is no matter of choice. `ImageError` `output_too_large`."""
    if max_bytes is not None and len(file) > max_bytes:
        raise too_large(len(file), max_bytes)
    return Encoded(file)


def too_large(least_bytes: int, max_bytes: int) -> ImageError:
    """The refusal, with the size that the file can't get below."""
    return ImageError(
        "output_too_large",
        f"The file has {least_bytes} bytes at least, and max_bytes is {max_bytes}: ask for a smaller size, or for a "
        "format that takes fewer bytes.",
    )
