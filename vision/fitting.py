"""The best quality whose file is small enough."""

from collections.abc import Callable
from dataclasses import dataclass

from vision.errors import ImageError
from vision.formats import MAX_QUALITY, MIN_QUALITY


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

    Files grow with quality, so halving finds it in at most eight calls: what one step more would take was tried and is
    too large. One call where `most` fits, or nothing limits it; two where even 50 does not fit, which is `ImageError`
    `output_too_large`. `encode` may take a higher quality where the one asked for breaks a promise. That says nothing
    of those between the two, so the search goes on there: what is refused was tried at the lowest quality that will do.
    If `most` itself will not do, the file has more. `progress` is called between calls.
    """
    tried = encode(most)
    if max_bytes is None:
        return tried
    best: Encoded | None = None
    least_bytes = len(tried.file)
    below, exceeds = MIN_QUALITY - 1, MAX_QUALITY + 1  # between them is what may be better than `best`
    asked = most
    while True:
        took = asked if tried.quality is None else tried.quality
        least_bytes = min(least_bytes, len(tried.file))
        if len(tried.file) <= max_bytes:
            best, below = tried, took
        else:
            exceeds = min(exceeds, took)
            below = asked if took > asked else below
        if exceeds - below <= 1 or (best is not None and below >= most):
            break
        asked = MIN_QUALITY if below < MIN_QUALITY else (below + exceeds) // 2
        progress()
        tried = encode(asked)
    if best is None:
        raise too_large(least_bytes, max_bytes)
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
