"""The drain: claim, decode ahead, one forward for a microbatch, refine and encode behind, commit each job by itself.

    drain thread     claim -> forward -> claim -> forward ...        never waits for a PNG
    intake threads   read, decode (child processes), letterbox       of the next microbatches
    finish threads   refine, compose, encode, check, store, commit   of the last ones

What is in flight is bounded in megapixels. Only the drain thread touches the state of a `_Drain`.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars

from config.tracing import Kind, Span, attributes_of
from db import claims
from db.session import DATABASE_AWAY
from dispatch.names import Bell
from jobs import claiming
from jobs.values import ClaimedJob
from worker.boundary import contain, job_error
from worker.gpu import Resources
from worker.intake import Photo
from worker.microbatch import look_at_each
from worker.models import StagedSegmenter
from worker.pulse import Held

log = structlog.get_logger(__name__)

_AHEAD = 2
"""Microbatches decoded, or being decoded, before their forward."""
_LOOK_AGAIN_S = 0.1
"""While the last jobs are being finished: new rows are seen this soon."""


@dataclass(frozen=True)
class _Taken:
    """A claimed job and its photo to be."""

    job: ClaimedJob
    photo: Future[Photo | Exception]


def drain(res: Resources) -> None:
    """Answer the doorbell, then work until nothing is due, the slice is over or the worker is told to stop.

    Rings again when it left work behind: after a full claim, so that another worker wakes, and at the slice's end.
    """
    res.doorbell.answer(Bell.GPU)
    with res.pulse.working():
        _Drain(res).run()
    res.heartbeat.beat()


class _Drain:
    def __init__(self, res: Resources) -> None:
        self._res = res
        self._ends_at = time.monotonic() + res.settings.slice_s
        self._suspects_at = time.monotonic() + res.settings.lease_s
        self._ahead: deque[list[_Taken]] = deque()
        self._finishing: dict[Future[None], Held] = {}
        self._in_flight: dict[Held, ClaimedJob] = {}
        self._spans: dict[Held, Span] = {}  # of what is in flight and not yet being finished
        self._rang = False

    def run(self) -> None:
        """Until there is nothing more to do. However it ends, no lease is held that nobody works on."""
        try:
            self._loop()
        finally:
            self._let_go()

    def _loop(self) -> None:
        while True:
            self._collect()
            suspects_turn = False
            if self._res.stop.is_set():
                self._give_back()
            elif not (suspects_turn := self._is_suspects_turn()):
                self._top_up()
            if self._ahead:
                self._work(self._ahead.popleft())
            elif self._finishing:
                wait(self._finishing, timeout=_LOOK_AGAIN_S, return_when=FIRST_COMPLETED)
            elif not self._run_suspect() and (self._is_over() or not suspects_turn or self._res.gate.is_shut):
                break
        if self._is_over() and not self._res.stop.is_set():
            self._res.doorbell.ring(Bell.GPU)

    def _is_over(self) -> bool:
        return time.monotonic() >= self._ends_at

    def _is_suspects_turn(self) -> bool:
        """Once in the time of a lease, healthy work holds off until the suspects that wait had their turn."""
        if time.monotonic() < self._suspects_at:
            return False
        with contextlib.suppress(*DATABASE_AWAY), self._res.sessions() as session:
            if claims.has_suspect(session):
                return True
        self._suspects_at = time.monotonic() + self._res.settings.lease_s
        return False

    def _room(self) -> float:
        """Megapixels that may be claimed now: none unless the largest photo fits, as a claim brings at least one."""
        settings = self._res.settings
        if not self._in_flight:
            return settings.microbatch_megapixels
        room = settings.pipeline_megapixels - sum(job.megapixels for job in self._in_flight.values())
        return min(room, settings.microbatch_megapixels) if room >= settings.max_megapixels else 0.0

    def _top_up(self) -> None:
        """Claim microbatches and start decoding them, as far as there is room and time."""
        limit = self._res.settings.microbatch_images
        self._res.intake.models.refresh()
        while len(self._ahead) < _AHEAD and not self._is_over() and (room := self._room()):
            if not (allowed := self._res.gate.writers(limit)):
                return
            jobs = self._claim(partial(claiming.claim, limit=allowed, megapixels=room))
            if not jobs:
                return
            if not self._rang and (len(jobs) == limit or self._ahead):
                self._rang = self._res.doorbell.ring(Bell.GPU)
            self._ahead.append(self._take(jobs))

    def _claim(self, query: Callable[[Session, claiming.Terms], list[ClaimedJob]]) -> list[ClaimedJob]:
        try:
            with self._res.sessions.begin() as session:
                jobs = query(session, self._res.terms)
        except DATABASE_AWAY as error:
            log.warning("claim_failed", error=type(error).__name__)
            return []
        if jobs:
            self._res.pulse.hold(jobs)
            self._res.pulse.moved()
            self._in_flight.update((job.held, job) for job in jobs)
        return jobs

    def _take(self, jobs: Sequence[ClaimedJob]) -> list[_Taken]:
        submit = self._res.intake_pool.submit
        for job in jobs:
            self._spans[job.held] = self._res.tracing.start(
                "photo", parent=job.traceparent, kind=Kind.CONSUMER, attributes=attributes_of(job.about)
            )
        return [_Taken(job, submit(_take, self._res, job, self._spans[job.held].traceparent)) for job in jobs]

    def _work(self, microbatch: Sequence[_Taken]) -> None:
        """One forward for the photos that need one; every job goes on to be finished, or failed, by itself."""
        waiting: dict[StagedSegmenter, list[Photo]] = {}
        for taken in microbatch:
            photo = taken.photo.result()
            if isinstance(photo, Exception):
                self._conclude(taken.job, partial(_raise, photo))
            elif photo.prepared is None:
                self._conclude(taken.job, partial(self._res.finisher.finish, photo, None))
            else:
                waiting.setdefault(photo.segmenter, []).append(photo)
        for segmenter, photos in waiting.items():
            self._forward(segmenter, photos)

    def _forward(self, segmenter: StagedSegmenter, photos: Sequence[Photo]) -> None:
        asked = [(photo.subject.seen, photo.prepared) for photo in photos if photo.prepared is not None]
        # A trace of its own, as it belongs to all of its photos alike; they name it, and it names them.
        with self._res.tracing.start(
            "microbatch",
            kind=Kind.CONSUMER,
            links=[photo.stages.traceparent for photo in photos],
            attributes={
                "packshot.images": len(photos),
                "packshot.model": segmenter.version,
                "packshot.runtime": segmenter.runtime,
                "packshot.worker": self._res.terms.worker,
            },
        ) as span:
            shares = [photo.stages.trace("infer", links=[span.traceparent]) for photo in photos]
            start = time.perf_counter()
            results = look_at_each(segmenter, asked)
            self._res.metrics.forwarded(len(photos))
            share_s = (time.perf_counter() - start) / len(photos)
        self._res.pulse.moved()
        for photo, logits, share in zip(photos, results, shares, strict=True):
            if isinstance(logits, Exception):
                share.fail(type(logits).__name__)
            share.end()
            photo.stages.add("infer_ms", share_s)
            photo.stages.note("batch_size", len(photos))
            if isinstance(logits, Exception):
                self._conclude(photo.job, partial(_raise, logits))
            else:
                self._conclude(photo.job, partial(self._res.finisher.finish, photo, logits))

    def _conclude(self, job: ClaimedJob, step: Callable[[], None]) -> None:
        span = self._spans.pop(job.held)
        self._finishing[self._res.finish_pool.submit(_conclude, self._res, job, step, span)] = job.held

    def _collect(self) -> None:
        """Make room: jobs that are done are in flight no more."""
        for future in [future for future in self._finishing if future.done()]:
            del self._in_flight[self._finishing.pop(future)]
            future.result()

    def _run_suspect(self) -> bool:
        """One job that was in a crashed worker's hands, with nothing else in flight. Whether to go on after it."""
        is_free = not self._res.stop.is_set() and self._res.gate.writers(1)
        jobs = self._claim(claiming.claim_suspect) if is_free else []
        if not jobs:
            return False
        self._work(self._take(jobs))
        wait(self._finishing)
        self._collect()
        return not self._is_over()

    def _give_back(self) -> None:
        """Told to stop: jobs whose forward has not begun go back to the queue, and nobody is blamed."""
        self._release([taken.job for microbatch in self._ahead for taken in microbatch])

    def _let_go(self) -> None:
        """At the end of a drain that broke off, jobs that no thread is finishing go back; else there are none."""
        finishing = set(self._finishing.values())
        self._release([job for held, job in self._in_flight.items() if held not in finishing])

    def _release(self, jobs: Sequence[ClaimedJob]) -> None:
        if not jobs:
            return
        for microbatch in self._ahead:
            for taken in microbatch:
                taken.photo.cancel()
        self._ahead.clear()
        for job in jobs:
            del self._in_flight[job.held]
            if (span := self._spans.pop(job.held, None)) is not None:
                span.end(name="photo given back")
        try:
            self._res.finisher.release(jobs)
        except DATABASE_AWAY as error:
            log.warning("release_failed", error=type(error).__name__, jobs=len(jobs))
        else:
            log.info("jobs_released", jobs=len(jobs))
        # Only now: as long as the database is away, their leases are worth renewing.
        self._res.pulse.drop(jobs)


def _take(res: Resources, job: ClaimedJob, traceparent: str | None) -> Photo | Exception:
    with bound_contextvars(**job.about):
        return contain(partial(res.intake.take, job, tracing=res.tracing, traceparent=traceparent))


def _conclude(res: Resources, job: ClaimedJob, step: Callable[[], None], span: Span) -> None:
    """Take the last step of a job; if it fails, settle the job; if not even that works, let its lease lapse."""
    with bound_contextvars(**job.about), span:
        error = contain(step)
        if error is not None:
            told = job_error(error)
            span.fail(told.code)
            lost = contain(partial(res.finisher.settle, job, told))
            if lost is not None:
                log.error("job_left_to_its_lease", error=repr(lost))
    res.pulse.drop([job])
    res.pulse.moved()


def _raise(error: Exception) -> None:
    raise error
