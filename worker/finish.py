"""From a photo and its logits to files and a final row: refine, encode, check, store, commit; one job at a time."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import structlog
from sqlalchemy.orm import Session

from config.settings import Settings
from db import purging
from db.base import Verdict
from db.session import DATABASE_AWAY, Sessions
from dispatch.doorbell import Doorbell
from dispatch.names import Bell
from jobs import work
from jobs.errors import JobError
from jobs.filenames import content_disposition, output_filename
from jobs.ids import job_public_id, new_id
from jobs.lifecycle import STORAGE_AWAY
from jobs.output_params import OutputParams
from jobs.values import ClaimedJob, NewMatte, Outcome, StoredOutput
from storage.keys import matte_key, output_key
from storage.port import NOT_SERVED, Served, Storage, StorageUnavailableError
from vision.arrays import Alpha, Logits, RgbImage
from vision.codec.encode import encode_matte
from vision.cutout import make_cutout
from vision.foreground import estimate_foreground
from vision.formats import MEDIA_TYPES, ending_of
from vision.qc import judge
from worker.intake import Photo
from worker.metrics import WorkerMetrics
from worker.outputs import Made, make_output
from worker.pulse import Pulse
from worker.store_gate import StoreGate

log = structlog.get_logger(__name__)

_Answer = TypeVar("_Answer")

_PATIENCE_S = 120.0
"""How long finished work waits for a database that is away. After that its leases have lapsed all the same."""
_PAUSES_S = (0.1, 0.5, 1.0)


@dataclass(frozen=True)
class _Cut:
    """What a photo became. `is_new`: this job made the matte."""

    alpha: Alpha
    foreground: RgbImage
    verdict: Verdict
    reasons: list[str]
    facts: dict[str, Any]
    is_new: bool


@dataclass(frozen=True)
class Finisher:
    """Ends jobs, for better or worse. Used by several threads."""

    settings: Settings
    sessions: Sessions
    storage: Storage
    gate: StoreGate
    doorbell: Doorbell
    pulse: Pulse
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)

    def finish(self, photo: Photo, logits: Logits | None) -> None:
        """Make the outputs and commit them with the job's success. logits: as `vision.cutout.make_cutout` takes them.

        `StorageUnavailableError`, `BrokenPromiseError`; one of `DATABASE_AWAY` when the database stays away.
        """
        job, stages = photo.job, photo.stages
        with stages.time("post_ms"):
            cut = _cut(photo, logits)
        outputs: list[StoredOutput] = []
        files: dict[str, tuple[bytes, Served]] = {}
        with stages.time("encode_ms"):
            for params in job.params.outputs:
                made = make_output(cut.foreground, cut.alpha, cut.facts, params, progress=self.pulse.moved)
                outputs.append(_stored(job, params, made))
                files[outputs[-1].key] = made.file, _served(job, params)
            matte_file = encode_matte(cut.alpha) if cut.is_new and job.output_id is None else None
        height, width = cut.alpha.shape
        matte_id = new_id()
        matte = None
        if matte_file is not None:
            sha256 = hashlib.sha256(matte_file).hexdigest()
            matte = NewMatte(matte_id, matte_key(matte_id), sha256, width, height, len(matte_file))
            files[matte.key] = matte_file, NOT_SERVED
        with stages.time("store_ms"):
            self._store(files)
        outcome = Outcome(
            outputs=outputs,
            verdict=cut.verdict,
            reasons=cut.reasons,
            facts=cut.facts,
            model_version=photo.segmenter.version,
            runtime=photo.segmenter.runtime,
            metrics=stages.as_metrics(),
            matte=matte,
        )
        with stages.trace("commit"):
            self._complete(job, outcome, list(files))

    def _store(self, files: dict[str, tuple[bytes, Served]]) -> None:
        """All or none, as far as the store lets us; what stays behind is swept as an orphan."""
        for key, (body, served) in files.items():
            try:
                self.storage.put(key, body, served)
            except StorageUnavailableError:
                self._remove(list(files))
                raise
        self.gate.stored()

    def _remove(self, keys: list[str]) -> None:
        for key in keys:
            try:
                self.storage.delete(key)
            except StorageUnavailableError as error:
                log.warning("file_left_behind", key=key, error=str(error))

    def _complete(self, job: ClaimedJob, outcome: Outcome, keys: list[str]) -> None:
        start = time.perf_counter()
        done = self._commit(lambda session: work.complete(session, job, outcome))
        if not done:
            # An earlier try may have been committed although its connection broke: then our files are named.
            named = self._commit(lambda session: purging.named_keys(session, keys))
            self._remove([key for key in keys if key not in named])
            done = bool(named)
        if not done:
            log.info("job_not_ours")
            return
        commit_ms = round((time.perf_counter() - start) * 1000)
        spent = {name: value for name, value in outcome.metrics.items() if name.endswith("_ms")}
        self.pulse.count({"jobs" if job.output_id is None else "outputs": 1, "commit_ms": commit_ms, **spent})
        self.metrics.succeeded({**spent, "commit_ms": commit_ms})
        log.info("job_made" if job.has_puts else "job_succeeded", verdict=outcome.verdict.value, commit_ms=commit_ms)
        self._ring(job)

    def settle(self, job: ClaimedJob, error: JobError) -> None:
        """End a job that went wrong: failed for good, or due again after a passing fault."""
        if error.code == STORAGE_AWAY:
            self.gate.refused()
        moved = self._commit(
            lambda session: work.retry_or_fail(
                session,
                job,
                error,
                max_retries=self.settings.max_retries,
                backoff_s=self.settings.retry_backoff_s,
            )
        )
        event = "job_failed" if moved else "job_not_ours"
        log.info(event, code=error.code, retryable=error.retryable)
        if moved:
            self.metrics.went_wrong(error.code, retryable=error.retryable)
            self._ring(job)

    def release(self, jobs: Sequence[ClaimedJob]) -> None:
        """Give jobs back that were not begun. One of `DATABASE_AWAY` when the database stays away."""
        self._commit(lambda session: work.release(session, [job.held for job in jobs]))

    def _ring(self, job: ClaimedJob) -> None:
        if job.has_webhook or job.has_puts:
            self.doorbell.ring(Bell.IO)

    def _commit(self, action: Callable[[Session], _Answer]) -> _Answer:
        """Run `action` in a transaction, again and again while the database is away: finished work is worth a wait."""
        ends_at = time.monotonic() + _PATIENCE_S
        tries = 0
        while True:
            try:
                with self.sessions.begin() as session:
                    return action(session)
            except DATABASE_AWAY as error:
                if time.monotonic() >= ends_at:
                    raise
                log.warning("commit_failed", error=type(error).__name__, tries=tries + 1)
                time.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
                tries += 1


def _served(job: ClaimedJob, params: OutputParams) -> Served:
    """As the API would send it: the store may be asked to."""
    filename = output_filename(job.filename, job_public_id(job.id), params.name, params.format)
    return Served(MEDIA_TYPES[params.format], content_disposition(filename))


def _stored(job: ClaimedJob, params: OutputParams, made: Made) -> StoredOutput:
    return StoredOutput(
        name=params.name,
        key=output_key(job.id, job.attempt, params.name, ending_of(params.format)),
        format=params.format,
        sha256=hashlib.sha256(made.file).hexdigest(),
        width=made.width,
        height=made.height,
        bytes=len(made.file),
        quality=made.quality,
        upscaled=made.upscaled,
        bbox_xyxy_px=made.bbox_xyxy_px,
        params=params.to_json(),
    )


def _cut(photo: Photo, logits: Logits | None) -> _Cut:
    """By the stored matte where there is one, else from the logits or the photo's own alpha."""
    if photo.stored_alpha is not None and photo.job.matte is not None:
        matte = photo.job.matte
        foreground = estimate_foreground(photo.subject.image, photo.stored_alpha)
        return _Cut(photo.stored_alpha, foreground, matte.verdict, matte.reasons, matte.facts, is_new=False)
    made = make_cutout(photo.subject, logits)
    judgement = judge(made.facts, photo.segmenter.calibration)
    return _Cut(
        made.alpha,
        made.foreground,
        Verdict(judgement.verdict.value),
        [reason.value for reason in judgement.reasons],
        {**asdict(made.facts), "score": judgement.score},
        is_new=True,
    )
