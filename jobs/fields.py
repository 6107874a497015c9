"""The fields of a submission, judged alike in a form, in JSON and in a line of a manifest; all errors at once."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from jobs.egress import EgressRefusedError, Policy, check_url
from jobs.errors import FieldError, JobError, pointer_to
from jobs.params import SHORTHAND, JobParams, parse_params
from jobs.put_params import PutTarget, parse_put


@dataclass(frozen=True)
class Rules:
    """What fields are judged by: the models that workers can run, the URLs that may be called, the largest picture."""

    models: Collection[str]
    default_model: str
    egress: Policy
    max_megapixels: float = 50.0


def is_storable(text: str) -> bool:
    """PostgreSQL stores every text but U+0000 and halves of surrogate pairs, which JSON can spell."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


_JSON_IN_FORMS = {
    "labels": "object",
    "outputs": "list",
    "quality": "number",
    "max_bytes": "number",
    "lossless": "true or false",
    "put_headers": "object",
}
"""Fields that are text in a form and a line of CSV."""

_CODES = {
    name: f"invalid_{name}"
    for name in (
        *("labels", "image_url", "webhook_url", "put_url", "put_headers"),
        *("quality", "max_bytes", "lossless"),
    )
}
"""Of values that have another type."""
_FORMAT = (
    "`png` (default), `png8` (up to 256 colours), `webp`, `jpg`, `avif`, `tiff` or `zip` (colours and alpha apart)."
)
_QUALITY = "50 to 100, for jpg, webp, avif and zip; with `max_bytes` the highest that may be taken."
_MAX_BYTES = (
    "The file has at most so many bytes: the highest quality that fits is taken. A file that can't be so small fails "
    "with `output_too_large`."
)
_LOSSLESS = "`true` for a webp that keeps every pixel."


def _storable(text: str) -> str:
    if not is_storable(text):
        message = "holds U+0000 or half a surrogate pair"
        raise ValueError(message)
    return text


Text = Annotated[str, AfterValidator(_storable)]
LabelKey = Annotated[Text, Field(min_length=1, max_length=64)]
LabelValue = Annotated[Text, Field(max_length=512)]


PutUrl = Annotated[
    Text | None,
    Field(
        description="Public URL that the file is sent to by PUT, such as one that an object store has signed; the job "
        "succeeds when that is done. Shown nowhere again.",
        examples=["https://bucket.s3.example/mug.png?X-Amz-Signature=..."],
    ),
]
PutHeaders = Annotated[
    dict[Text, Text] | None,
    Field(
        description="Headers of that request, up to 16; `Content-Type` is the file's own by default.",
        examples=[{"x-ms-blob-type": "BlockBlob"}],
    ),
]


class OutputCreate(BaseModel):
    """The options of one output file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Text | None = Field(None, description="A name of its own; `cutout` by default.", examples=["main"])
    format: Text | None = Field(None, description=_FORMAT, examples=["jpg"])
    size: Text | None = Field(
        None,
        description="`original` (default), `WxH` (fitted and centred), `longest:N` (pixels of the longer side), or "
        "`megapixels:N` (at most). Where pixels are made up to reach it, the output says `upscaled`.",
        examples=["2000x2000"],
    )
    background: Text | None = Field(
        None,
        description="`transparent` (default), a CSS name, `#RGB`, `#RRGGBB`, or with opacity `#RGBA`, `#RRGGBBAA`; "
        "a jpg is white by default.",
        examples=["white"],
    )
    quality: int | None = Field(None, description=_QUALITY, examples=[90])
    max_bytes: int | None = Field(None, description=_MAX_BYTES, examples=[5_000_000])
    lossless: bool | None = Field(None, description=_LOSSLESS)
    crop: bool | None = Field(None, description="Show the product's box and its margins, not the whole photo.")
    margin: Text | None = Field(
        None,
        description="Room around a crop: one, two or four lengths as in CSS, each `20px` of the photo or `10%` of the "
        "product's side.",
        examples=["10%"],
    )
    fill: Text | None = Field(
        None,
        description="Scale the product so that it takes this share of the frame's width or height, `10%` to `100%`.",
        examples=["85%"],
    )
    position: Text | None = Field(
        None,
        description="Where the product stands: `original` (default), `center` (with `fill`), `X%` or `X% Y%` of the "
        "free room.",
        examples=["center"],
    )
    channels: Text | None = Field(
        None, description="`rgba` (default), or `alpha`: the mask alone, grey, 255 is product.", examples=["alpha"]
    )
    depth: int | None = Field(
        None, description="Bits of a mask (`channels: alpha`, png or tiff), or of a zip's alpha: 8 (default) or 16."
    )
    roi: Text | None = Field(
        None,
        description="`x1 y1 x2 y2` in `px` or `%` of the upright photo: what lies outside is not product.",
        examples=["10% 10% 90% 90%"],
    )
    put_url: PutUrl = None
    put_headers: PutHeaders = None


class JobCreate(BaseModel):
    """The fields of a submission besides the uploaded photo."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image_url: Text | None = Field(
        None,
        description="Public http or https URL of the photo; instead of `image_file`.",
        examples=["https://shop.example/photos/mug.jpg"],
    )
    format: Text | None = Field(None, description=_FORMAT, examples=["png"])
    quality: int | None = Field(None, description=_QUALITY, examples=[90])
    max_bytes: int | None = Field(None, description=_MAX_BYTES, examples=[5_000_000])
    lossless: bool | None = Field(None, description=_LOSSLESS)
    background: Text | None = Field(
        None,
        description="`transparent` (default), a CSS name, `#RGB`, `#RRGGBB`, or with opacity `#RGBA`, `#RRGGBBAA`; "
        "a jpg is white by default.",
        examples=["white"],
    )
    outputs: list[OutputCreate] | None = Field(
        None,
        description="The files to make of the one matte, up to 10. `format`, `background`, `quality`, `max_bytes` and "
        "`lossless` are short for a single one named `cutout`.",
        examples=[[{"name": "main", "format": "jpg", "size": "2000x2000", "fill": "85%"}, {"name": "cutout"}]],
    )
    put_url: PutUrl = None
    put_headers: PutHeaders = None
    model: Text | None = Field(
        None, description="Name or id of a model of `GET /v1/models`; the service's default otherwise."
    )
    existing_alpha: Text | None = Field(
        None,
        description="What becomes of transparency that the photo already has: `auto` (default), `ignore`, `multiply`.",
        examples=["auto"],
    )
    animated: Text | None = Field(
        None,
        description="A photo of several frames (GIF, PNG, WebP, AVIF) or pages (TIFF): `refuse` (default) or "
        "`first_frame`.",
        examples=["first_frame"],
    )
    webhook_url: Text | None = Field(
        None,
        description="Public URL that is called when the job ends (Standard Webhooks).",
        examples=["https://shop.example/hooks/packshot"],
    )
    labels: dict[LabelKey, LabelValue] | None = Field(
        None,
        max_length=16,
        description="Up to 16 pairs that come back with the job; key up to 64, value up to 512 characters.",
        examples=[{"sku": "MUG-1"}],
    )


@dataclass(frozen=True)
class Judged:
    """The fields that are good, defaults filled in, and what is wrong with the others. A bad URL is None here."""

    image_url: str | None
    params: JobParams
    webhook_url: str | None
    labels: dict[str, str]
    errors: tuple[FieldError, ...]
    puts: tuple[PutTarget, ...] = ()

    @property
    def names_url(self) -> bool:
        """Whether a source URL is given, be it a bad one."""
        return self.image_url is not None or any(error.pointer == "/image_url" for error in self.errors)


def judge(fields: Mapping[str, Any], rules: Rules) -> Judged:
    """Judge the fields. Never raises for what a caller wrote."""
    given, errors = _fields(fields)
    params = JobParams()
    try:
        options = given.model_dump(include={*SHORTHAND, "outputs", "model", "existing_alpha", "animated"})
        params = parse_params(
            options,
            models=rules.models,
            default_model=rules.default_model,
            max_megapixels=rules.max_megapixels,
        )
    except JobError as error:
        errors += error.errors
    webhook_url = _url(given.webhook_url, "webhook_url", rules.egress, errors)
    image_url = _url(given.image_url, "image_url", rules.egress, errors)
    puts = _puts(given, rules.egress, errors)
    return Judged(image_url, params, webhook_url, given.labels or {}, tuple(errors), puts)


def _puts(given: JobCreate, egress: Policy, errors: list[FieldError]) -> tuple[PutTarget, ...]:
    """Where the outputs are to be put: the one that is not listed, or those listed that say so."""
    if given.outputs is None:
        targets = [parse_put(given.model_dump(), "cutout", egress)]
    else:
        for name in ("put_url", "put_headers"):
            if getattr(given, name) is not None:
                detail = f"Beside outputs, {name} belongs into its entries."
                errors.append(FieldError(f"/{name}", "invalid_outputs", detail))
        targets = [
            parse_put(output.model_dump(), output.name or "cutout", egress, at=f"/outputs/{number}")
            for number, output in enumerate(given.outputs)
        ]
    errors += [error for _, found in targets for error in found]
    return tuple(target for target, _ in targets if target is not None)


def _fields(fields: Mapping[str, Any]) -> tuple[JobCreate, list[FieldError]]:
    """The known, well-formed fields, and what is wrong with the others."""
    errors: list[FieldError] = []
    fields = dict(fields)
    for name, what in _JSON_IN_FORMS.items():
        if not isinstance(fields.get(name), str):
            continue
        try:
            fields[name] = json.loads(fields[name])
        except (ValueError, RecursionError):
            del fields[name]
            errors.append(FieldError(f"/{name}", f"invalid_{name}", f"{name}: not a JSON {what}."))
    try:
        return JobCreate.model_validate(fields), errors
    except ValidationError as error:
        found = [_field_error(problem) for problem in error.errors(include_url=False)]
    # One error a field, but every one inside the outputs.
    errors += {error.pointer: error for error in found}.values()
    bad = {error.pointer.split("/")[1] for error in found}
    return JobCreate.model_validate(
        {name: value for name, value in fields.items() if pointer_to(name)[1:] not in bad}
    ), errors


def _field_error(problem: Any) -> FieldError:
    path = problem["loc"] if problem["loc"][0] == "outputs" else problem["loc"][:1]
    pointer = "".join(pointer_to(part) for part in path)
    if problem["type"] == "extra_forbidden":
        return FieldError(pointer, "unknown_field", "There is no such field.")
    name = str(problem["loc"][0])
    code = "invalid_outputs" if path == ("outputs",) else _CODES.get(name, "invalid_option")
    return FieldError(pointer, code, f"{'.'.join(str(part) for part in path)}: {problem['msg']}.")


def _url(given: str | None, name: str, policy: Policy, errors: list[FieldError]) -> str | None:
    """The URL in its one spelling. Its host is looked up when it is called, and judged then once more."""
    if given is None:
        return None
    try:
        return check_url(given, policy).url
    except EgressRefusedError as error:
        errors.append(FieldError(f"/{name}", f"invalid_{name}", str(error)))
        return None
