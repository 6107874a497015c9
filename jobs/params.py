"""The options of a job, the same in a form, in JSON and on the command line; defaults filled in, errors coded."""

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from jobs.errors import FieldError, JobError

FORMATS = ("png", "webp", "jpg")
EXISTING_ALPHA = ("auto", "ignore", "multiply")
TRANSPARENT = "transparent"

_HEX = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class JobParams:
    """Effective options.

    `format` of the cutout; `background`: `transparent` or `#rrggbb`; `model`: a name or an id `name@version`;
    `existing_alpha`: what becomes of an alpha channel that the photo already has (`vision.cutout` explains).
    """

    format: str = "png"
    background: str = TRANSPARENT
    model: str = ""
    existing_alpha: str = "auto"

    def to_json(self) -> dict[str, Any]:
        """As stored in `jobs.params` and shown in replies."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "JobParams":
        """Back from `jobs.params`. Options unknown to this version are left: a newer API may have stored them."""
        return cls(**{name: value for name, value in stored.items() if name in cls.__dataclass_fields__})


def parse_params(given: Mapping[str, str | None], *, models: Collection[str], default_model: str) -> JobParams:
    """Check the options given by a caller and fill in the defaults.

    `models` holds the names and ids that workers can run. Raises `JobError` `invalid_options` with one `FieldError`
    for each bad option, all of them at once.
    """
    errors: list[FieldError] = []
    output_format = (given.get("format") or "png").lower()
    output_format = "jpg" if output_format == "jpeg" else output_format
    if output_format not in FORMATS:
        errors.append(FieldError("/format", "invalid_format", f"format is one of {', '.join(FORMATS)}."))
    model = given.get("model") or default_model
    if model not in models:
        errors.append(FieldError("/model", "unknown_model", f"model is one of {', '.join(sorted(models))}."))
    existing_alpha = given.get("existing_alpha") or "auto"
    if existing_alpha not in EXISTING_ALPHA:
        errors.append(
            FieldError("/existing_alpha", "invalid_option", f"existing_alpha is one of {', '.join(EXISTING_ALPHA)}.")
        )
    background = _background(given.get("background"), output_format, errors)
    if errors:
        raise JobError("invalid_options", " ".join(error.detail for error in errors), errors=tuple(errors))
    return JobParams(output_format, background, model, existing_alpha)


def _background(given: str | None, output_format: str, errors: list[FieldError]) -> str:
    """The background in its one spelling; JPEG has no transparency, so its default is white."""
    if not given:
        return "#ffffff" if output_format == "jpg" else TRANSPARENT
    background = {"white": "#ffffff"}.get(given.lower(), given.lower())
    if background == TRANSPARENT and output_format == "jpg":
        errors.append(FieldError("/background", "invalid_bg_color", "A jpg can't be transparent; name a colour."))
    elif background != TRANSPARENT and not _HEX.fullmatch(background):
        errors.append(
            FieldError(
                "/background",
                "invalid_bg_color",
                "background is transparent, white or a colour like #f5f5f5.",
            )
        )
    return background
