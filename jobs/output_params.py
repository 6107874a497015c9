"""The options of one output: what a caller may say, judged, defaults filled in, errors coded."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from jobs.errors import FieldError
from vision import frame
from vision.formats import FORMATS, MAX_QUALITY, MIN_QUALITY, OutputFormat, find_format
from vision.paint import parse_paint
from vision.region import Region, parse_region

CHANNELS = ("rgba", "alpha")
TRANSPARENT = "transparent"
MAX_OUTPUTS = 10
"""Of one submission."""
MAX_OUTPUTS_OF_JOB = 50
"""With those asked for later."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_QUALITIES = range(MIN_QUALITY, MAX_QUALITY + 1)
_BYTES = range(1000, 1_000_000_001)
_LOSSY = ", ".join(name for name, known in FORMATS.items() if known.quality is not None)
_DEPTHS = (8, 16)
_DEEP_MASKS = ("png", "tiff")


@dataclass(frozen=True)
class OutputParams:
    """Effective options of one file; `vision.frame` explains size, crop, margin, fill and position.

    `background`: `transparent`, `#rrggbb` or `#rrggbbaa`. `quality` None is the format's own; lossless ones have none.
    With `max_bytes` it is the highest that may be taken. `lossless` is for webp. `channels`: `rgba`, or `alpha` for the
    mask alone; `depth`: bits of a mask, or of a zip's alpha. `roi`: where the product may be (`vision.region`).
    """

    name: str = "cutout"
    format: str = "png"
    size: str = "original"
    background: str = TRANSPARENT
    quality: int | None = None
    max_bytes: int | None = None
    lossless: bool = False
    crop: bool = False
    margin: str = "0"
    fill: str | None = None
    position: str = "original"
    channels: str = "rgba"
    depth: int = 8
    roi: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As stored and shown in replies."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "OutputParams":
        """Back from the database. Options unknown to this version are left: a newer API may have stored them."""
        return cls(**{name: value for name, value in stored.items() if name in cls.__dataclass_fields__})

    def frame(self) -> frame.Frame:
        """What is shown, and how large. These were judged: `parse_output`."""
        return frame.Frame(
            size=frame.parse_size(self.size, max_megapixels=float("inf")),
            crop=self.crop,
            margins=frame.parse_margins(self.margin),
            fill=None if self.fill is None else frame.parse_fill(self.fill),
            position=frame.parse_position(self.position),
        )

    def region(self) -> Region | None:
        """The region of interest; it was judged."""
        return None if self.roi is None else parse_region(self.roi)


def parse_output(
    given: Mapping[str, Any], *, at: str = "", max_megapixels: float
) -> tuple[OutputParams, list[FieldError]]:
    """Judge an output's options, which have the right types; `at` is the JSON pointer to them.

    With errors the options are not to be used.
    """
    errors: list[FieldError] = []

    def refuse(field: str, code: str, detail: str) -> None:
        errors.append(FieldError(f"{at}/{field}", code, detail))

    output_format = find_format(given.get("format") or "png")
    if output_format is None:
        refuse("format", "invalid_format", f"format is one of {', '.join(FORMATS)}.")
    name = given.get("name") or "cutout"
    if not _NAME.fullmatch(name):
        refuse("name", "invalid_output_name", "A name has a to z, 0 to 9, - and _, and at most 64 characters.")
    channels = given.get("channels") or "rgba"
    if channels not in CHANNELS or (channels == "alpha" and output_format == "zip"):
        refuse("channels", "invalid_channels", "channels is rgba or alpha; a zip has both files.")
    output_format = output_format or "png"
    _judge_encoding(given, output_format, refuse)
    depth = 8 if given.get("depth") is None else given["depth"]
    if depth not in _DEPTHS or (depth != 8 and not _has_deep_alpha(output_format, channels)):  # noqa: PLR2004
        refuse(
            "depth", "invalid_depth", "depth is 8 or 16; 16 is for a mask (channels: alpha) as png or tiff, and a zip."
        )
    checks: dict[str, tuple[str, Callable[[str], object]]] = {
        "size": ("invalid_size", partial(frame.parse_size, max_megapixels=max_megapixels)),
        "margin": ("invalid_crop_margin", frame.parse_margins),
        "fill": ("invalid_scale", frame.parse_fill),
        "position": ("invalid_position", frame.parse_position),
        "roi": ("invalid_roi", parse_region),
    }
    for field, (code, parse) in checks.items():
        if given.get(field) is not None:
            try:
                parse(given[field])
            except ValueError as error:
                refuse(field, code, f"{field}: {error}.")
    _refuse_idle(given, refuse)
    is_apart = channels == "alpha" or output_format == "zip"
    if is_apart and given.get("background"):
        refuse("background", "invalid_bg_color", "A mask has no background, and a zip keeps colours and alpha apart.")
    background = TRANSPARENT if is_apart else _background(given.get("background"), output_format, refuse)
    names = ("quality", "max_bytes", "lossless", "size", "margin", "fill", "position", "crop", "roi")
    chosen = {field: given[field] for field in names if given.get(field)}
    params = OutputParams(
        name=name, format=output_format, background=background, channels=channels, depth=depth, **chosen
    )
    return params, errors


def _judge_encoding(
    given: Mapping[str, Any], output_format: OutputFormat, refuse: Callable[[str, str, str], None]
) -> None:
    """quality, lossless and max_bytes."""
    quality, is_lossless, max_bytes = given.get("quality"), given.get("lossless"), given.get("max_bytes")
    if is_lossless and output_format != "webp":
        refuse(
            "lossless", "invalid_lossless", "lossless is for webp: other formats are lossy or lossless by themselves."
        )
    keeps_all = is_lossless or FORMATS[output_format].quality is None
    if quality is not None and (quality not in _QUALITIES or keeps_all):
        refuse("quality", "invalid_quality", f"quality is 50 to 100, for {_LOSSY}; the others are lossless.")
    if max_bytes is not None and max_bytes not in _BYTES:
        refuse("max_bytes", "invalid_max_bytes", "max_bytes is 1000 to 1000000000.")


def _has_deep_alpha(output_format: OutputFormat, channels: str) -> bool:
    return output_format == "zip" or (channels == "alpha" and output_format in _DEEP_MASKS)


def _refuse_idle(given: Mapping[str, Any], refuse: Callable[[str, str, str], None]) -> None:
    """Nothing that a caller says is ignored."""
    if given.get("margin") is not None and not given.get("crop"):
        refuse("margin", "invalid_crop_margin", "margin is the room around a crop: send crop too.")
    if given.get("margin") is not None and given.get("fill") is not None:
        refuse("fill", "invalid_scale", "margin and fill both say how much room is around the product: send one.")


def _background(given: str | None, output_format: str, refuse: Callable[[str, str, str], None]) -> str:
    """The background in its one spelling; JPEG has no transparency, so its default is white."""
    if not given:
        return "#ffffff" if output_format == "jpg" else TRANSPARENT
    try:
        paint = parse_paint(given)
    except ValueError as error:
        refuse("background", "invalid_bg_color", f"background: {error}.")
        return TRANSPARENT
    if output_format == "jpg" and not paint.is_opaque:
        refuse("background", "invalid_bg_color", "A jpg can't be transparent; name an opaque colour.")
    return str(paint)
