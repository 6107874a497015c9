"""The parameters of rembg's HTTP server (`rembg s`) in our words. Each one works, or is refused with a code."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from jobs.foreign import Fields

# What rembg takes for these where nothing is said: a client that says the same asks for nothing.
_NOT_DONE = {"af": "240", "ab": "10", "ae": "10", "extras": "{}"}
KNOWN = frozenset({"url", "file", "model", "om", "bgc", "a", "ppm", *_NOT_DONE})
_RGBA = 4


@dataclass(frozen=True)
class Request:
    """A request of rembg's: the options of its one output, the photo's URL, and the model."""

    output: dict[str, Any]
    image_url: str | None
    model: str | None


def translate(given: Mapping[str, Any], *, models: Collection[str]) -> Request:
    """Judge and translate. `JobError` `invalid_options` with every field that is bad, by rembg's names."""
    fields = Fields(given, KNOWN)
    for name, default in _NOT_DONE.items():
        if fields.text(name) not in (None, default):
            fields.refuse(name, "unsupported_option", f"{name} is not done here; it may be left out or be {default}.")
    fields.truth("a", default=True)  # matting is always on here
    if fields.truth("ppm", default=False):
        fields.refuse("ppm", "unsupported_option", "The mask is never thresholded here; ppm may be false.")
    model = fields.text("model")
    if model is not None and model not in models:
        fields.refuse("model", "unknown_model", f"model is one of {', '.join(sorted(models))}, or left out.")
    output: dict[str, Any] = {"format": "png"}
    background = _background(fields)
    if fields.truth("om", default=False):
        output["channels"] = "alpha"
        if background is not None:
            fields.refuse("bgc", "invalid_bg_color", "A mask has no background.")
    elif background is not None:
        output["background"] = background
    fields.raise_errors()
    return Request(output, fields.text("url"), model)


def _background(fields: Fields) -> str | None:
    """`r,g,b,a`, each 0 to 255, as `#rrggbbaa`."""
    text = fields.text("bgc")
    if text is None:
        return None
    channels = [int(part) if part.strip().isdecimal() and part.isascii() else -1 for part in text.split(",")]
    if len(channels) != _RGBA or not all(0 <= channel <= 255 for channel in channels):  # noqa: PLR2004
        fields.refuse("bgc", "invalid_bg_color", "bgc is r,g,b,a, each 0 to 255.")
        return None
    return "#" + bytes(channels).hex()
