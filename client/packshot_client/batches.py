"""Calls about batches: many photos as one thing to wait for."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Literal, TypeAlias, Unpack, cast

from packshot_client import calls
from packshot_client.calls import Lister, fetch, keyed, segment, send
from packshot_client.files import FileSink
from packshot_client.jobs import delete_once
from packshot_client.models import Batch, BatchPlan, Job, Page
from packshot_client.options import JobOptions, as_form, as_json
from packshot_client.steps import FileSource, Plan, Request, T, file_part

Lines: TypeAlias = Iterable[Mapping[str, Any]]
"""A manifest's lines: `custom_id`, `image_url` or `upload_id`, and any options of a job."""
Manifest: TypeAlias = FileSource | Lines
"""Lines, or a file: JSON Lines, CSV, or a ZIP of photos."""
ResultFile = Literal["results.zip", "output.jsonl", "errors.jsonl"]
_SPOOL_BYTES = 8 << 20


def create(
    manifest: Manifest,
    *,
    filename: str | None = None,
    skip_invalid: bool = False,
    item_webhooks: bool = False,
    idempotency_key: str | None = None,
    **options: Unpack[JobOptions],
) -> Plan[Batch]:
    """Submit a batch. Options are those of lines that do not say otherwise; `labels` and deadlines are the batch's.

    Every line is judged first. Unless `skip_invalid`, one bad line means that nothing runs and the batch is `failed`.
    """
    flags = {"skip_invalid": skip_invalid, "item_webhooks": item_webhooks}
    form = as_form({**options, **flags})
    return (yield from _submit(Batch, manifest, filename, form, keyed(idempotency_key)))


def check(
    manifest: Manifest, *, filename: str | None = None, skip_invalid: bool = False, **options: Unpack[JobOptions]
) -> Plan[BatchPlan]:
    """What a manifest would give, with every bad line; makes nothing."""
    form = as_form({**options, "skip_invalid": skip_invalid, "validate_only": True})
    return (yield from _submit(BatchPlan, manifest, filename, form, keyed(None)))


def get(batch_id: str) -> Plan[Batch]:
    """The batch as it was counted last."""
    return (yield from fetch(Batch, Request("GET", _path(batch_id))))


def page(
    *,
    status: str | None = None,
    limit: int | None = None,
    starting_after: str | None = None,
    ending_before: str | None = None,
    filters: Mapping[str, str] | None = None,
) -> Plan[Page[Batch]]:
    """One page of your batches, newest first. `filters` are further query values that the service knows."""
    params = {
        **(filters or {}),
        "status": status,
        "limit": limit,
        "starting_after": starting_after,
        "ending_before": ending_before,
    }
    return (yield from calls.page_of(Batch, "/v1/batches", params))


def iterate(*, status: str | None = None, filters: Mapping[str, str] | None = None) -> Lister[Batch]:
    """All your batches, newest first, read page by page as you go."""
    return lambda after: page(status=status, filters=filters, limit=calls.PAGE, starting_after=after)


def items(batch: Batch | str, *, status: str | None = None, custom_id: str | None = None) -> Lister[Job]:
    """The jobs of a batch by line, read page by page as you go."""

    def read_page(after: str | None) -> Plan[Page[Job]]:
        params = {"status": status, "custom_id": custom_id, "limit": calls.PAGE, "starting_after": after}
        return calls.page_of(Job, f"{_path(batch)}/items", params)

    return read_page


def wait(batch: Batch | str, *, timeout_s: float | None = None) -> Plan[Batch]:
    """Wait until the batch has ended, however; for ever by default. `WaitTimeoutError`."""
    return (yield from calls.wait(Batch, _path(batch), timeout_s=timeout_s))


def cancel(batch: Batch | str) -> Plan[Batch]:
    """Cancel what has not ended: `canceling`, then `canceled`."""
    return (yield from calls.cancel(Batch, _path(batch)))


def delete(batch: Batch | str) -> Plan[None]:
    """Forget an ended batch, its jobs and their files. `ConflictError` `batch_not_ended` for one that still runs."""
    yield from delete_once(_path(batch))


def retry(
    batch: Batch | str,
    *,
    only: Literal["failed", "unfinished", "all"] = "failed",
    idempotency_key: str | None = None,
    **options: Unpack[JobOptions],
) -> Plan[Batch]:
    """Run again what failed, or all, as a new batch; with these options instead of those it had."""
    body = as_json({**options, "only": only})
    return (
        yield from fetch(Batch, Request("POST", f"{_path(batch)}/retry", headers=keyed(idempotency_key), json=body))
    )


def download(batch: Batch | str, to: str | PathLike[str], file: ResultFile = "results.zip") -> Plan[Path]:
    """Write what an ended batch made to the file `to`: a ZIP of all outputs, or JSON Lines; whole, or not at all."""
    with FileSink(Path(to)) as sink:
        yield from send(Request("GET", f"{_path(batch)}/{file}", into=sink))
        return sink.keep(None)


def _submit(
    kind: type[T], manifest: Manifest, filename: str | None, form: dict[str, str], headers: dict[str, str]
) -> Plan[T]:
    with _as_file(manifest) as source:
        name = filename or ("manifest.jsonl" if source is not manifest else None)
        part = file_part(source, field="file", filename=name)
        return (yield from fetch(kind, Request("POST", "/v1/batches", headers=headers, form=form, file=part)))


@contextmanager
def _as_file(manifest: Manifest) -> Iterator[FileSource]:
    """Lines as JSON Lines in a file, on disk where they are many; a file as it is."""
    if isinstance(manifest, (str, bytes, os.PathLike)) or hasattr(manifest, "read"):
        yield cast("FileSource", manifest)
        return
    with SpooledTemporaryFile[bytes](max_size=_SPOOL_BYTES) as spool:
        for line in manifest:
            spool.write(json.dumps(as_json(line)).encode() + b"\n")
        spool.seek(0)
        yield cast("BinaryIO", spool)


def _path(batch: Batch | str) -> str:
    return f"/v1/batches/{segment(batch if isinstance(batch, str) else batch.id)}"
