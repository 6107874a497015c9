"""What a caller asks for: the fields of a form or of a JSON object, and its one photo."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Header

from api.context import Context
from api.problems import ProblemError, from_job_error
from api.uploads import FILE_FIELD, Form
from config.tracing import CURRENT
from jobs.errors import FieldError, JobError
from jobs.fields import judge
from jobs.filenames import clean_filename, filename_of_url
from jobs.params import JobParams
from jobs.put_params import PutTarget
from jobs.schedule import Schedule, ScheduleCreate, judge_schedule
from jobs.values import NewJob, StoredInput

CancelAfter = Annotated[str | None, Header(description="As the field `expires_in`.", examples=["15m"])]


@dataclass(frozen=True)
class Submission:
    """A submission that passed every check that needs no look at the photo. `source_url` is None for an upload."""

    source_url: str | None
    filename: str | None
    params: JobParams
    webhook_url: str | None
    labels: dict[str, str]
    schedule: Schedule
    puts: tuple[PutTarget, ...]

    def to_new_job(
        self, job_id: UUID, api_key_id: UUID, stored: StoredInput | None, base_url: str, retention: timedelta
    ) -> NewJob:
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
            retention=retention,
            priority=self.schedule.priority,
            deadline=self.schedule.deadline,
            traceparent=CURRENT.get(),
            puts=self.puts,
        )


def put_cancel_after(form: Form, header: str | None) -> None:
    """The header `Cancel-After` is a field like the others from here on. `ProblemError` `invalid_deadline`."""
    if header is None:
        return
    if form.fields.keys() & {"expires_in", "deadline"}:
        raise ProblemError("invalid_deadline", "Send one of Cancel-After, expires_in and deadline.")
    form.fields["expires_in"] = header


def parse(form: Form, context: Context) -> Submission:
    """Judge a form. `ProblemError` with one entry in `errors` for each bad field."""
    timing = {name: value for name, value in form.fields.items() if name in ScheduleCreate.model_fields}
    schedule, errors = judge_schedule(timing)
    judged = judge({name: value for name, value in form.fields.items() if name not in timing}, context.rules)
    if schedule.reuse and judged.names_url:
        detail = "dedupe: only an upload can be compared with earlier photos before it is fetched."
        errors.append(FieldError("/dedupe", "invalid_option", detail))
    errors = [*judged.errors, *errors]
    has_upload = form.upload is not None and bool(form.upload.size_bytes or form.upload.filename)
    if has_upload and judged.names_url:
        raise ProblemError("multiple_sources", f"Send {FILE_FIELD} or image_url, not both.")
    if not has_upload and not judged.names_url:
        raise ProblemError("missing_source", f"Send the photo as {FILE_FIELD}, or its URL as image_url.")
    if errors:
        detail = " ".join(error.detail for error in errors)
        raise from_job_error(JobError("invalid_options", detail, errors=tuple(errors)))
    if form.upload is not None and has_upload:
        filename = clean_filename(form.upload.filename)
    else:
        filename = filename_of_url(judged.image_url or "")
    return Submission(
        judged.image_url, filename, judged.params, judged.webhook_url, judged.labels, schedule, judged.puts
    )
