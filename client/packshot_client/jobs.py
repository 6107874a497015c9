"""Calls about jobs: submit, read, wait, cancel, delete, download."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

from packshot_client import calls
from packshot_client.calls import MAX_WAIT_S, Lister, fetch, keyed, segment, send
from packshot_client.errors import JobFailedError, NotFoundError
from packshot_client.files import FileSink, MemorySink
from packshot_client.models import FINAL, Cutout, Job, Output, Page
from packshot_client.options import JobOptions, OutputOptions, as_form, as_json
from packshot_client.steps import FileSource, Plan, Reply, Request, file_part

CUTOUT = "cutout"
"""The name of the output that a job has when none is asked for by name."""
_URL = ("http://", "https://")


def create(
    photo: FileSource,
    *,
    filename: str | None = None,
    idempotency_key: str | None = None,
    wait_s: int = 0,
    **options: Unpack[JobOptions],
) -> Plan[Job]:
    """Submit a photo: a path, bytes, an open file, or an http(s) URL that the service fetches.

    `wait_s`, up to 60: reply when the job has ended, or after that long as it stands. The request has an
    `Idempotency-Key` of its own, or yours: sent again, by whom ever, it makes no second job.
    """
    headers = keyed(idempotency_key)
    if wait_s:
        headers["Prefer"] = f"wait={min(wait_s, MAX_WAIT_S)}"
    if isinstance(photo, str) and photo.startswith(_URL):
        body = {"image_url": photo, **as_json(options)}
        request = Request("POST", "/v1/jobs", headers=headers, json=body, wait_s=wait_s)
    else:
        part = file_part(photo, field="image_file", filename=filename)
        request = Request("POST", "/v1/jobs", headers=headers, form=as_form(options), file=part, wait_s=wait_s)
    return (yield from fetch(Job, request))


def get(job_id: str) -> Plan[Job]:
    """The job as it stands."""
    return (yield from fetch(Job, Request("GET", _path(job_id))))


def page(
    *,
    status: str | None = None,
    limit: int | None = None,
    starting_after: str | None = None,
    ending_before: str | None = None,
    filters: Mapping[str, str] | None = None,
) -> Plan[Page[Job]]:
    """One page of your jobs, newest first. `filters` are further query values that the service knows."""
    params = {
        **(filters or {}),
        "status": status,
        "limit": limit,
        "starting_after": starting_after,
        "ending_before": ending_before,
    }
    return (yield from calls.page_of(Job, "/v1/jobs", params))


def iterate(*, status: str | None = None, filters: Mapping[str, str] | None = None) -> Lister[Job]:
    """All your jobs, newest first, read page by page as you go. Those that come meanwhile are not among them."""
    return lambda after: page(status=status, filters=filters, limit=calls.PAGE, starting_after=after)


def wait(job: Job | str, *, timeout_s: float | None = 600.0) -> Plan[Job]:
    """Wait until the job has ended, however. `WaitTimeoutError`; None waits for ever."""
    return (yield from calls.wait(Job, _path(job), timeout_s=timeout_s))


def cancel(job: Job | str) -> Plan[Job]:
    """Cancel a job. Best effort: one that ended first has ended, and this raises `ConflictError` `already_final`."""
    return (yield from calls.cancel(Job, _path(job)))


def delete(job: Job | str) -> Plan[None]:
    """Forget the job, and remove its photo and files; one that still runs is canceled first."""
    yield from delete_once(_path(job))


def delete_once(path: str) -> Plan[None]:
    """DELETE; that it is gone is an error only where no earlier try can have done it."""
    try:
        yield from send(Request("DELETE", path))
    except NotFoundError as error:
        if error.attempts == 1:
            raise


def add_output(job: Job | str, *, idempotency_key: str | None = None, **options: Unpack[OutputOptions]) -> Plan[Output]:
    """Ask for a further file of a job that has succeeded; it is made of the stored matte. See `wait_output`."""
    request = Request("POST", f"{_path(job)}/outputs", headers=keyed(idempotency_key), json=as_json(options))
    return (yield from fetch(Output, request))


def wait_output(job: Job | str, name: str, *, timeout_s: float | None = 600.0) -> Plan[Job]:
    """Wait until an output has ended, however; the job as it is then. `WaitTimeoutError`."""

    def has_ended(found: Job) -> bool:
        output = found.output(name)
        return output is None or output.status in FINAL

    return (yield from calls.wait(Job, _path(job), timeout_s=timeout_s, is_enough=has_ended, hold=False))


def read_output(job: Job | str, name: str = CUTOUT) -> Plan[bytes]:
    """The bytes of an output; their sha256 is checked."""
    sink = MemorySink()
    reply = yield from send(Request("GET", _output_path(job, name), into=sink))
    return sink.check(_sha256(job, name, reply))


def download(job: Job | str, to: str | PathLike[str], name: str = CUTOUT) -> Plan[Path]:
    """Write an output to the file `to`, in place of what is there: whole and checked, or not at all."""
    with FileSink(Path(to)) as sink:
        reply = yield from send(Request("GET", _output_path(job, name), into=sink))
        return sink.keep(_sha256(job, name, reply))


def read_matte(job: Job | str) -> Plan[bytes]:
    """The alpha matte, a grey PNG of the photo's size."""
    sink = MemorySink()
    reply = yield from send(Request("GET", f"{_path(job)}/matte", into=sink))
    return sink.check(_etag(reply))


def cut_out(
    photo: FileSource,
    *,
    to: str | PathLike[str] | None = None,
    filename: str | None = None,
    timeout_s: float = 600.0,
    **options: Unpack[JobOptions],
) -> Plan[Cutout]:
    """Submit a photo, wait, and download its cutout: the bytes, and with `to` also a file.

    Nothing is left out silently: `JobFailedError` where the job ended without a result. A photo with no product in it
    has a result, with the verdict `fail`; look at `.job.verdict`. `WaitTimeoutError` after `timeout_s`.
    """
    # The first wait comes with the submission, so a quick job needs one round trip.
    first_s = max(min(int(timeout_s), MAX_WAIT_S), 0)
    job = yield from create(photo, filename=filename, wait_s=first_s, **options)
    if not job.is_final:
        job = yield from wait(job, timeout_s=timeout_s)
    if job.status != "succeeded":
        raise JobFailedError(job)
    content = yield from read_output(job, job.outputs[0].name if job.outputs else CUTOUT)
    if to is not None:
        with FileSink(Path(to)) as sink:
            sink.start()
            sink.write(content)
            sink.keep(None)
    return Cutout(job, content)


def _path(job: Job | str) -> str:
    return f"/v1/jobs/{segment(job if isinstance(job, str) else job.id)}"


def _output_path(job: Job | str, name: str) -> str:
    return f"{_path(job)}/outputs/{segment(name)}"


def _sha256(job: Job | str, name: str, reply: Reply) -> str | None:
    """What the job says, where it is at hand; what the reply says otherwise."""
    output = None if isinstance(job, str) else job.output(name)
    return (output.sha256 if output else None) or _etag(reply)


def _etag(reply: Reply) -> str | None:
    """Files have the sha256 of their bytes as ETag."""
    tag: Any = reply.headers.get("etag", "").removeprefix("W/").strip('"')
    return tag or None
