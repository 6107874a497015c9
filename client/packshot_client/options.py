"""The options of a job, as keyword arguments; what is left out takes the service's default."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

Format = Literal["png", "png8", "webp", "jpg", "avif", "tiff", "zip"]
ExistingAlpha = Literal["auto", "ignore", "multiply"]
Animated = Literal["refuse", "first_frame"]


class JobOptions(TypedDict, total=False):
    """What becomes of the photo. The service judges them: a bad one is an `InvalidRequestError`."""

    format: Format | None
    background: str | None
    """`transparent`, a CSS colour name, `#RRGGBB` or `#RRGGBBAA`."""
    quality: int | None
    """50 to 100, for jpg, webp, avif and zip; with `max_bytes` the highest that may be taken."""
    max_bytes: int | None
    """The file has at most so many bytes."""
    lossless: bool | None
    """For a webp that keeps every pixel."""
    model: str | None
    existing_alpha: ExistingAlpha | None
    animated: Animated | None
    """Photos of several frames or pages."""
    webhook_url: str | None
    labels: Mapping[str, str] | None
    put_url: str | None
    """Where the cutout is sent by PUT, such as a URL that an object store signed; the job succeeds after that."""
    put_headers: Mapping[str, str] | None
    outputs: "Sequence[OutputOptions] | None"
    """Files to make of the one photo; the options above are short for a single one named `cutout`."""
    priority: Literal["interactive", "normal", "bulk"] | None
    deadline: str | None
    expires_in: str | int | None
    retention: str | int | None
    dedupe: Literal["none", "reuse"] | None


class OutputOptions(TypedDict, total=False):
    """One file of a job."""

    name: str | None
    format: Format | None
    size: str | None
    """`original`, `WxH`, `longest:N` or `megapixels:N`."""
    background: str | None
    quality: int | None
    max_bytes: int | None
    lossless: bool | None
    crop: bool | None
    margin: str | None
    fill: str | None
    position: str | None
    channels: Literal["rgba", "alpha"] | None
    depth: Literal[8, 16] | None
    """Bits of a mask (png or tiff), or of a zip's alpha."""
    roi: str | None
    """`x1 y1 x2 y2` in px or %."""
    put_url: str | None
    put_headers: Mapping[str, str] | None


def as_form(options: Mapping[str, Any]) -> dict[str, str]:
    """Options as text fields: lists and objects as JSON, what is None left out."""
    return {name: _text(value) for name, value in options.items() if value is not None}


def as_json(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a JSON object, what is None left out."""
    return {name: _plain(value) for name, value in options.items() if value is not None}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(_plain(value))


def _plain(value: Any) -> Any:
    """Any mapping and any sequence as those that `json` knows."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value
