"""Query values of the list of jobs."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query
from pydantic import AwareDatetime

from api.problems import ProblemError
from db.base import JobStatus, Verdict
from db.jobs import JobFilter
from jobs.errors import JobError
from jobs.fields import is_storable
from jobs.ids import BATCH_PREFIX, parse_id

_UNSTORABLE = "A filter holds U+0000 or half a surrogate pair: nothing has that."


@dataclass(frozen=True)
class JobQuery:
    """A filter, and the query values that spell it, for the next page."""

    filter: JobFilter
    query: dict[str, str | list[str] | None]


def read_filter(
    status: Annotated[JobStatus | None, Query(description="Only jobs with this status.")] = None,
    verdict: Annotated[Verdict | None, Query(description="Only jobs with this verdict.")] = None,
    created_after: Annotated[AwareDatetime | None, Query(description="Only jobs made at this time or later.")] = None,
    created_before: Annotated[AwareDatetime | None, Query(description="Only jobs made before this time.")] = None,
    label: Annotated[
        list[str] | None,
        Query(description="Only jobs with this label, as `name:value`; several must all be there.", max_length=16),
    ] = None,
    sku: Annotated[str | None, Query(description="Only jobs with this value of the label `sku`.")] = None,
    model: Annotated[str | None, Query(description="Only jobs that this model version made: `unet-fast@1`.")] = None,
    batch_id: Annotated[str | None, Query(description="Only jobs of this batch.")] = None,
) -> JobQuery:
    """Judge the query values. `ProblemError` `invalid_label`; `JobError` `not_found` for an id that is no batch's."""
    batch = None if batch_id is None else parse_id(batch_id, BATCH_PREFIX)
    if batch_id is not None and batch is None:
        raise JobError("not_found", f"There is no batch {batch_id[:80]}.")
    query: dict[str, str | list[str] | None] = {
        "status": status and status.value,
        "verdict": verdict and verdict.value,
        "created_after": created_after.isoformat() if created_after else None,
        "created_before": created_before.isoformat() if created_before else None,
        "label": label,
        "sku": sku,
        "model": model,
        "batch_id": batch_id,
    }
    if not is_storable(model or ""):
        raise ProblemError("invalid_label", _UNSTORABLE)
    labels = read_labels(label or [], sku)
    return JobQuery(JobFilter(status, verdict, created_after, created_before, labels, model, batch), query)


Wanted = Annotated[JobQuery, Depends(read_filter)]


def read_labels(given: list[str], sku: str | None = None) -> dict[str, str]:
    """Labels that must all be there, each given as `name:value`. `ProblemError` `invalid_label`."""
    if not all(is_storable(text) for text in (*given, sku or "")):
        raise ProblemError("invalid_label", _UNSTORABLE)
    labels = {} if sku is None else {"sku": sku}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon or not name:
            raise ProblemError("invalid_label", "label is name:value.")
        if labels.setdefault(name, value) != value:
            raise ProblemError("invalid_label", f"Nothing has two values of the label {name[:64]}.")
    return labels
