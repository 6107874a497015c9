"""Photos through a running service to files, many at the same time; each stands alone."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from cli.plan import Item, Result
from cli.submissions import Journal, Record, idempotency_key
from cli.summary import SUBMITTED
from packshot_client import (
    AsyncClient,
    AuthenticationError,
    GoneError,
    JobFailedError,
    JobOptions,
    NoAnswerError,
    NotFoundError,
    PackshotError,
    PermissionDeniedError,
)

_FOR_ALL = (AuthenticationError, PermissionDeniedError, NoAnswerError)
"""What would meet every other photo as well; the run ends with it."""


@dataclass(frozen=True)
class Work:
    """What is asked of every photo. `force` submits anew what was submitted before."""

    options: Mapping[str, Any]
    terms: str
    out: Path
    does_wait: bool
    timeout_s: float
    force: bool = False

    def is_done(self, item: Item, record: Record | None) -> bool:
        """The cutout is there, no older than its photo, and as far as anybody knows by the same options."""
        is_same = record is None or (record.stage == "done" and record.terms == self.terms)
        return not self.force and is_same and item.is_done

    def is_on_its_way(self, record: Record | None) -> bool:
        """Submitted by the same options, and not known to have ended."""
        return not self.force and record is not None and record.stage == "submitted" and record.terms == self.terms

    def name(self, item: Item) -> str:
        """The output's name in the journal."""
        return item.output.relative_to(self.out).as_posix()


class Submitter:
    """`run` takes items and reports a result for each, in the order in which they are done."""

    def __init__(self, client: AsyncClient, journal: Journal, work: Work, report: Callable[[Result], None]) -> None:
        self._client = client
        self._journal = journal
        self._work = work
        self._report = report

    async def run(self, items: Sequence[Item], *, at_once: int) -> None:
        """Work until all items are done, at most `at_once` on their way. `PackshotError` where none can go on."""
        waiting = iter(items)
        workers = [asyncio.create_task(self._work_through(waiting)) for _ in range(min(at_once, len(items)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work_through(self, waiting: Iterator[Item]) -> None:
        for item in waiting:
            began = time.perf_counter()
            try:
                verdict, reasons = await self._one(item)
            except _FOR_ALL:
                raise
            except PackshotError as error:
                result = Result(item, problem=_words(error))
            except OSError as error:
                result = Result(item, problem=f"{error.filename or item.photo}: {error.strerror}")
            else:
                result = Result(item, verdict, reasons, took_s=time.perf_counter() - began)
            self._report(result)

    async def _one(self, item: Item) -> tuple[str, tuple[str, ...]]:
        """Go on from what is known of the photo; where the service knows no more of it, once more from the start."""
        before = self._journal.find(self._work.name(item))
        sha256 = await asyncio.to_thread(_sha256, item.photo)
        if before is None:
            record = await self._submit(item, sha256, 0)
        elif self._work.is_on_its_way(before) and before.sha256 == sha256:
            record = before
        else:
            record = await self._submit(item, sha256, before.run + 1)
        try:
            return await self._finish(item, record)
        except (NotFoundError, GoneError):
            # Deleted, or past its retention, since it was submitted.
            return await self._finish(item, await self._submit(item, sha256, record.run + 1))

    async def _submit(self, item: Item, sha256: str, run: int) -> Record:
        name = self._work.name(item)
        key = idempotency_key(self._work.terms, sha256, item.photo.name, run)
        options = cast("JobOptions", dict(self._work.options))
        job = await self._client.jobs.create(item.photo, idempotency_key=key, **options)
        record = Record(name, self._work.terms, sha256, run, job.id, "submitted")
        self._journal.add(record)
        return record

    async def _finish(self, item: Item, record: Record) -> tuple[str, tuple[str, ...]]:
        """Verdict and reasons."""
        if not self._work.does_wait:
            return SUBMITTED, ()
        job = await self._client.jobs.wait(record.job, timeout_s=self._work.timeout_s)
        if job.status != "succeeded":
            self._journal.add(replace(record, stage="failed"))
            raise JobFailedError(job)
        await self._client.jobs.download(job, item.output, job.outputs[0].name)
        self._journal.add(replace(record, stage="done"))
        return job.verdict or job.status, job.reasons


def _sha256(photo: Path) -> str:
    with photo.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _words(error: PackshotError) -> str:
    """A job's or the service's own words, as `packshot remove` gives them."""
    if isinstance(error, JobFailedError) and error.job.error is not None:
        return f"{error.job.error.code}: {error.job.error.detail or error.job.error.title}"
    return str(error)
