"""remove.bg's parameters in our words. Each works or is refused with a code; `docs/compatibility.md` has the table.

After the public reference of its API, version 1.0 (`POST /v1.0/removebg`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs.errors import FieldError, pointer_to
from jobs.foreign import Fields
from jobs.output_params import parse_output
from vision.frame import parse_margins

SOURCES = ("image_file", "image_file_b64", "image_url")
BACKGROUNDS = ("bg_color", "bg_image_url", "bg_image_file")
KNOWN = frozenset(
    {
        *SOURCES,
        *BACKGROUNDS,
        *("size", "type", "type_level", "format", "roi", "crop", "crop_margin", "scale", "position", "channels"),
        *("add_shadow", "shadow_type", "shadow_opacity", "semitransparency"),
    }
)
_PREVIEW, _FULL, _LARGE, _PNG = 0.25, 25.0, 50.0, 10.0
_SIZES = {
    "preview": _PREVIEW,
    "small": _PREVIEW,
    "regular": _PREVIEW,
    "medium": 1.5,
    "hd": 4.0,
    "full": _FULL,
    "4k": _FULL,
    "auto": _FULL,
    "50MP": _LARGE,
}
"""Most megapixels of a result; a png has at most ten."""
_FORMATS = dict.fromkeys(("auto", "png", "jpg", "jpeg", "webp", "zip"))
_TYPES = dict.fromkeys(("auto", "product", "person", "car", "animal", "graphic", "graphics", "transportation", "other"))
_OUR_TYPES = ("auto", "product")
_LEVELS = dict.fromkeys(("none", "1", "2", "latest"))
_SHADOWS = dict.fromkeys(("none", "auto", "car", "3D", "drop"))
_THEIR_NAMES = {"margin": "crop_margin", "fill": "scale", "background": "bg_color"}


@dataclass(frozen=True)
class Request:
    """A request of remove.bg's: the options of its one output, the photo's URL, and whether it asks for the type."""

    output: dict[str, Any]
    image_url: str | None
    wants_type: bool


def translate(given: Mapping[str, Any], *, max_megapixels: float) -> Request:
    """Judge and translate. `JobError` `invalid_options` with every field that is bad, by remove.bg's names."""
    fields = Fields(given, KNOWN)
    _refuse_what_is_not_done(fields)
    level = fields.choice("type_level", _LEVELS, default="1")
    output = _output(fields, max_megapixels)
    _, errors = parse_output(output, max_megapixels=max_megapixels)
    for error in errors:
        fields.add(_in_their_words(error))
    fields.raise_errors()
    return Request(output, fields.text("image_url"), wants_type=level != "none")


def _output(fields: Fields, max_megapixels: float) -> dict[str, Any]:
    scale, position = fields.text("scale"), fields.text("position")
    if scale == "original":
        scale = None
    if scale is not None and position == "original":
        fields.refuse("position", "invalid_position", "A subject that is scaled is centred, or moved by x% y%.")
    channels = fields.text("channels") or "rgba"
    background = fields.text("bg_color")
    output_format = _format(fields, channels, background)
    crop = fields.truth("crop", default=False)
    return {
        "format": output_format,
        "size": _size(fields, output_format, max_megapixels),
        "background": background,
        "crop": crop,
        "margin": _margin(fields, crop=crop),
        "fill": scale,
        "position": position,
        "channels": channels,
        "roi": fields.text("roi"),
    }


def _format(fields: Fields, channels: str, background: str | None) -> str:
    """`auto` is a png where anything may be transparent, else a jpg."""
    chosen = fields.choice("format", _FORMATS, default="auto", code="invalid_format")
    if chosen != "auto":
        return chosen
    if channels == "alpha" or background is None:
        return "png"
    _, errors = parse_output({"format": "jpg", "background": background}, max_megapixels=1)
    return "png" if errors else "jpg"


def _size(fields: Fields, output_format: str, max_megapixels: float) -> str:
    most = _SIZES[fields.choice("size", _SIZES, default="preview", code="invalid_size")]
    if output_format == "png":
        most = min(most, _PNG)
    return f"megapixels:{min(most, max_megapixels):g}"


def _margin(fields: Fields, *, crop: bool) -> str | None:
    """Without a crop there is no margin; clients that send a margin of 0 all the same ask for nothing."""
    margin = fields.text("crop_margin")
    if margin is None or crop:
        return margin
    try:
        lengths = parse_margins(margin)
    except ValueError:
        return margin
    return margin if any(length.value for length in lengths) else None


def _refuse_what_is_not_done(fields: Fields) -> None:
    if sum(fields.text(name) is not None for name in BACKGROUNDS) > 1:
        fields.refuse("bg_color", "multiple_bg_sources", f"Send one of {', '.join(BACKGROUNDS)}.")
    for name in ("bg_image_url", "bg_image_file", "shadow_opacity"):
        if fields.text(name) is not None:
            fields.refuse(name, "unsupported_option", f"{name} is not done here.")
    if fields.truth("add_shadow", default=False):
        fields.refuse("add_shadow", "unsupported_option", "Shadows are not drawn here.")
    if fields.choice("shadow_type", _SHADOWS, default="none") != "none":
        fields.refuse("shadow_type", "unsupported_option", "Shadows are not drawn here; shadow_type may be none.")
    if not fields.truth("semitransparency", default=True, code="invalid_semitransparency"):
        fields.refuse("semitransparency", "unsupported_option", "Parts that let light through always stay so here.")
    if (kind := fields.choice("type", _TYPES, default="auto")) not in _OUR_TYPES:
        fields.refuse("type", "unsupported_option", f"Products are cut out here: type is auto or product, not {kind}.")


def _in_their_words(error: FieldError) -> FieldError:
    ours = error.pointer.removeprefix("/")
    theirs = _THEIR_NAMES.get(ours, ours)
    detail = error.detail
    for mine, foreign in _THEIR_NAMES.items():
        detail = detail.replace(mine, foreign)
    return FieldError(pointer_to(theirs), error.code, detail)
