"""The options of a job, the same in a form, in JSON and on the command line; defaults filled in, errors coded."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from jobs.errors import FieldError, JobError
from jobs.output_params import MAX_OUTPUTS, OutputParams, parse_output
from vision.codec.header import Animated, require_still
from vision.region import locate

ANIMATED = get_args(Animated)
EXISTING_ALPHA = ("auto", "ignore", "multiply")
SHORTHAND = ("format", "background", "quality", "max_bytes", "lossless")
"""Options of a single output that the job may name itself."""


@dataclass(frozen=True)
class JobParams:
    """Effective options.

    `outputs`: the files to make of the one matte; `model`: a name or an id `name@version`; `existing_alpha`: what
    becomes of an alpha channel that the photo already has (`vision.cutout` explains); `animated`: what becomes of a
    photo of several frames or pages.
    """

    outputs: tuple[OutputParams, ...] = (OutputParams(),)
    model: str = ""
    existing_alpha: str = "auto"
    animated: Animated = "refuse"

    def to_json(self) -> dict[str, Any]:
        """As stored in `jobs.params` and shown in replies."""
        outputs = [output.to_json() for output in self.outputs]
        return {
            "outputs": outputs,
            "model": self.model,
            "existing_alpha": self.existing_alpha,
            "animated": self.animated,
        }

    def require_still(self, input_format: str, *, is_animated: bool) -> None:
        """`ImageError` where a photo has several frames or pages and these options refuse that."""
        require_still(input_format, self.animated, is_animated=is_animated)

    def require_regions(self, photo_hw: tuple[int, int]) -> None:
        """`ImageError` where a region of interest is not in an upright photo of this size."""
        for output in self.outputs:
            if (region := output.region()) is not None:
                locate(region, photo_hw)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "JobParams":
        """Back from `jobs.params`. Options unknown to this version are left: a newer API may have stored them.

        `JobError` `job_broke` where these are no options at all.
        """
        try:
            outputs = tuple(OutputParams.from_json(output) for output in stored["outputs"])
            return cls(outputs, stored["model"], stored["existing_alpha"], animated_of(stored))
        except (KeyError, TypeError, AttributeError) as error:
            raise JobError("job_broke", "The job's stored options can't be read.") from error


def animated_of(stored: Mapping[str, Any]) -> Animated:
    """What stored options say of animations; those of an older version say nothing, and then refused them."""
    return "first_frame" if stored.get("animated") == "first_frame" else "refuse"


def parse_params(
    given: Mapping[str, Any], *, models: Collection[str], default_model: str, max_megapixels: float = 50.0
) -> JobParams:
    """Check the options given by a caller, which have the right types, and fill in the defaults.

    `models` holds the names and ids that workers can run. Raises `JobError` `invalid_options` with one `FieldError`
    for each bad option, all of them at once.
    """
    outputs, errors = _outputs(given, max_megapixels)
    model = given.get("model") or default_model
    if model not in models:
        errors.append(FieldError("/model", "unknown_model", f"model is one of {', '.join(sorted(models))}."))
    existing_alpha = given.get("existing_alpha") or "auto"
    if existing_alpha not in EXISTING_ALPHA:
        errors.append(
            FieldError("/existing_alpha", "invalid_option", f"existing_alpha is one of {', '.join(EXISTING_ALPHA)}.")
        )
    animated = given.get("animated")
    if animated and animated not in ANIMATED:
        errors.append(FieldError("/animated", "invalid_option", f"animated is one of {', '.join(ANIMATED)}."))
    if errors:
        raise JobError("invalid_options", " ".join(error.detail for error in errors), errors=tuple(errors))
    return JobParams(outputs, model, existing_alpha, animated_of(given))


def _outputs(given: Mapping[str, Any], max_megapixels: float) -> tuple[tuple[OutputParams, ...], list[FieldError]]:
    """Those listed, or the one named `cutout` that the shorthand describes."""
    listed = given.get("outputs")
    shorthand = {name: given.get(name) for name in SHORTHAND}
    if listed is None:
        output, errors = parse_output(shorthand, max_megapixels=max_megapixels)
        return (output,), errors
    if not 0 < len(listed) <= MAX_OUTPUTS:
        return (), [FieldError("/outputs", "invalid_outputs", f"outputs has 1 to {MAX_OUTPUTS} entries.")]
    parsed = [
        parse_output(output, at=f"/outputs/{number}", max_megapixels=max_megapixels)
        for number, output in enumerate(listed)
    ]
    outputs = tuple(output for output, _ in parsed)
    errors = [error for _, found in parsed for error in found]
    for name in (name for name, value in shorthand.items() if value is not None):
        errors.append(FieldError(f"/{name}", "invalid_outputs", f"Beside outputs, {name} belongs into its entries."))
    if len({output.name for output in outputs}) < len(outputs):
        errors.append(FieldError("/outputs", "invalid_outputs", "Each output needs a name of its own."))
    return outputs, errors
