"""What a caller asks for: the fields of a form or of a JSON object, judged by the same rules, all errors at once."""

import json
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from api.context import Context
from api.filenames import clean_filename, filename_of_url
from api.problems import ProblemError, from_job_error, pointer_to
from api.uploads import FILE_FIELD, Form
from jobs.egress import EgressRefusedError, Policy, check_url
from jobs.errors import FieldError, JobError
from jobs.params import JobParams, parse_params
from jobs.values import NewJob, StoredInput


def _storable(text: str) -> str:
    """PostgreSQL stores every text but U+0000 and halves of surrogate pairs, which JSON can spell."""
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        message = "holds U+0000 or half a surrogate pair"
        raise ValueError(message)
    return text


Text = Annotated[str, AfterValidator(_storable)]
LabelKey = Annotated[Text, Field(min_length=1, max_length=64)]
LabelValue = Annotated[Text, Field(max_length=512)]


class JobCreate(BaseModel):
    """The fields of a submission besides the uploaded photo."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image_url: Text | None = Field(
        None,
        description="Public http or https URL of the photo; instead of `image_file`.",
        examples=["https://shop.example/photos/mug.jpg"],
    )
    format: Text | None = Field(
        None, description="Format of the cutout: `png` (default), `webp` or `jpg`.", examples=["png"]
    )
    background: Text | None = Field(
        None,
        description="`transparent` (default), `white` or a colour such as `#f5f5f5`. A jpg is white by default.",
        examples=["white"],
    )
    model: Text | None = Field(
        None, description="Name or id of a model of `GET /v1/models`; the service's default otherwise."
    )
    existing_alpha: Text | None = Field(
        None,
        description="What becomes of transparency that the photo already has: `auto` (default), `ignore`, `multiply`.",
        examples=["auto"],
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
class Submission:
    """A submission that passed every check that needs no look at the photo. `source_url` is None for an upload."""

    source_url: str | None
    filename: str | None
    params: JobParams
    webhook_url: str | None
    labels: dict[str, str]

    def to_new_job(self, job_id: UUID, api_key_id: UUID, stored: StoredInput | None, base_url: str) -> NewJob:
        """The job to submit; `stored` where the photo was uploaded."""
        source = stored or self.source_url
        if source is None:
            message = "neither an upload nor a URL"
            raise AssertionError(message)
        return NewJob(
            id=job_id,
            api_key_id=api_key_id,
            source=source,
            params=self.params,
            filename=self.filename,
            webhook_url=self.webhook_url,
            base_url=base_url,
            labels=self.labels,
        )


def parse(form: Form, context: Context) -> Submission:
    """Judge a form. `ProblemError` with one entry in `errors` for each bad field."""
    given, errors = _fields(form.fields)
    has_upload = form.upload is not None and bool(form.upload.size_bytes or form.upload.filename)
    params = JobParams()
    try:
        options = given.model_dump(include={"format", "background", "model", "existing_alpha"})
        params = parse_params(options, models=context.models.names, default_model=context.settings.model)
    except JobError as error:
        errors += error.errors
    webhook_url = _url(given.webhook_url, "webhook_url", context.egress, errors)
    source_url = _url(given.image_url, "image_url", context.egress, errors)
    if has_upload and given.image_url is not None:
        raise ProblemError("multiple_sources", f"Send {FILE_FIELD} or image_url, not both.")
    if not has_upload and given.image_url is None and not _names(errors, "image_url"):
        raise ProblemError("missing_source", f"Send the photo as {FILE_FIELD}, or its URL as image_url.")
    if errors:
        detail = " ".join(error.detail for error in errors)
        raise from_job_error(JobError("invalid_options", detail, errors=tuple(errors)))
    if form.upload is not None and has_upload:
        filename = clean_filename(form.upload.filename)
    else:
        filename = filename_of_url(source_url or "")
    return Submission(source_url, filename, params, webhook_url, given.labels or {})


def _fields(fields: dict[str, Any]) -> tuple[JobCreate, list[FieldError]]:
    """The known, well-formed fields, and what is wrong with the others."""
    errors: list[FieldError] = []
    fields = dict(fields)
    if isinstance(labels := fields.get("labels"), str):
        try:
            fields["labels"] = json.loads(labels)
        except (ValueError, RecursionError):
            del fields["labels"]
            errors.append(FieldError("/labels", "invalid_labels", "labels: not a JSON object."))
    try:
        return JobCreate.model_validate(fields), errors
    except ValidationError as error:
        found = {str(problem["loc"][0]): _field_error(problem) for problem in error.errors(include_url=False)}
    errors += found.values()
    return JobCreate.model_validate({name: value for name, value in fields.items() if name not in found}), errors


def _field_error(problem: Any) -> FieldError:
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return FieldError(pointer_to(name), "unknown_field", "There is no such field.")
    codes = {"labels": "invalid_labels", "image_url": "invalid_image_url", "webhook_url": "invalid_webhook_url"}
    return FieldError(pointer_to(name), codes.get(name, "invalid_option"), f"{name}: {problem['msg']}.")


def _url(given: str | None, name: str, policy: Policy, errors: list[FieldError]) -> str | None:
    """The URL in its one spelling. Its host is looked up when it is called, and judged then once more."""
    if given is None:
        return None
    try:
        return check_url(given, policy).url
    except EgressRefusedError as error:
        errors.append(FieldError(f"/{name}", f"invalid_{name}", str(error)))
        return None


def _names(errors: list[FieldError], field: str) -> bool:
    return any(error.pointer == f"/{field}" for error in errors)
