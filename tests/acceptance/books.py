"""Photos to submit, and the books to look over after a fault."""

import io
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from sqlalchemy import func, select

from db.models import Job, Output
from db.session import Sessions
from db.webhook_models import WebhookEvent
from jobs.ids import parse_job_id
from tests.images import draw

FINAL = {"succeeded", "failed", "canceled", "expired"}


def photo(number: int, hw: tuple[int, int] = (900, 1200)) -> bytes:
    """A drawn JPEG; each number gives other bytes, so that no stored matte is used again."""
    buffer = io.BytesIO()
    Image.fromarray(draw("disc", "plain", hw).image).save(buffer, "JPEG", quality=90)
    return numbered(buffer.getvalue(), number)


def numbered(jpeg: bytes, number: int) -> bytes:
    """The same picture in other bytes: a comment right after the start marker."""
    text = str(number).encode()
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


def photos(count: int, *, first: int = 0, hw: tuple[int, int] = (900, 1200)) -> list[bytes]:
    """`count` different files of one picture."""
    base = photo(first, hw)
    return [numbered(base, first + n) for n in range(count)]


def rows_of(sessions: Sessions, ids: Sequence[str]) -> list[Job]:
    """The jobs' rows, in the order of the ids."""
    with sessions() as session:
        found = {job.id: job for job in session.scalars(select(Job).where(Job.id.in_(map(parse_job_id, ids))))}
    return [found[parse_job_id(public_id)] for public_id in ids]


def statuses(sessions: Sessions, ids: Sequence[str]) -> Counter[str]:
    """How many of the jobs stand in which status."""
    with sessions() as session:
        rows = session.execute(
            select(Job.status, func.count()).where(Job.id.in_(map(parse_job_id, ids))).group_by(Job.status)
        )
        return Counter({status.value: count for status, count in rows})


def wait_for(sessions: Sessions, ids: Sequence[str], status: str, count: int = 1, timeout_s: float = 60) -> None:
    """Wait until at least `count` of the jobs stand in `status`; without HTTP, so that no moment is missed."""
    deadline = time.monotonic() + timeout_s
    while statuses(sessions, ids)[status] < count:
        assert time.monotonic() < deadline, f"never {count} {status}: {statuses(sessions, ids)}"
        time.sleep(0.02)


def check_books(sessions: Sessions, ids: Sequence[str], files: Path, timeout_s: float = 120, **expected: int) -> None:
    """Wait for the end; then each job has one final status, one event of it, and its outputs once and whole."""
    deadline = time.monotonic() + timeout_s
    while sum(statuses(sessions, ids)[status] for status in FINAL) < len(ids):
        assert time.monotonic() < deadline, f"not final after {timeout_s} s: {statuses(sessions, ids)}"
        time.sleep(0.1)
    if expected:
        assert statuses(sessions, ids) == expected
    for output in check_rows(sessions, ids):
        stored = (files / output.key).read_bytes()
        assert len(stored) == output.bytes
        with Image.open(io.BytesIO(stored)) as cutout:
            assert cutout.size == (output.width, output.height)


def check_rows(sessions: Sessions, ids: Sequence[str]) -> list[Output]:
    """Each of these jobs, which have ended, has one event of its end, and its outputs once; these are returned."""
    found: list[Output] = []
    with sessions() as session:
        for job in rows_of(sessions, ids):
            assert job.leased_until is None
            events = session.scalars(select(WebhookEvent.type).where(WebhookEvent.job_id == job.id)).all()
            assert events == [f"job.{job.status.value}"]
            outputs = session.scalars(select(Output).where(Output.job_id == job.id)).all()
            assert len(outputs) == (1 if job.status.value == "succeeded" else 0)
            found += outputs
    return found
