"""A catalog system as the service sees it: submits photos over HTTP, waits, and looks the books over."""

import io
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from sqlalchemy import func, select

from db.models import Job, Output, WebhookEvent
from db.session import Sessions
from jobs.ids import parse_job_id
from tests.images import draw

FINAL = {"succeeded", "failed", "canceled", "expired"}


def photo(number: int, hw: tuple[int, int] = (900, 1200)) -> bytes:
    """A drawn JPEG; each number gives other bytes, so that no stored matte is used again."""
    image = draw("disc", "plain", hw).image
    image[0, 0] = np.uint8([number % 256, number // 256, 128])
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90, comment=f"photo {number}".encode())
    return buffer.getvalue()


@dataclass
class Catalog:
    """A client of the API at `url`."""

    url: str
    token: str
    sessions: Sessions

    def __post_init__(self) -> None:
        self._http = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=30, trust_env=False
        )

    def submit(self, body: bytes, **options: str) -> str:
        """Hand over a photo; returns the job's id."""
        reply = self._http.post("/v1/jobs", files={"image_file": ("shoe.jpg", body)}, data=options)
        assert reply.status_code == 202, reply.text
        return str(reply.json()["id"])

    def submit_many(self, count: int, *, first: int = 0) -> list[str]:
        base = photo(0)
        # A JPEG comment right after the SOI marker makes each file another one without drawing it anew.
        return [self.submit(base[:2] + _comment(f"{first + n}") + base[2:]) for n in range(count)]

    def get(self, public_id: str) -> dict:
        reply = self._http.get(f"/v1/jobs/{public_id}")
        assert reply.status_code == 200, reply.text
        return reply.json()

    def download(self, public_id: str, name: str = "cutout") -> bytes:
        reply = self._http.get(f"/v1/jobs/{public_id}/outputs/{name}")
        assert reply.status_code == 200, reply.text
        return reply.content

    def statuses(self, ids: Sequence[str]) -> Counter[str]:
        with self.sessions() as session:
            rows = session.execute(
                select(Job.status, func.count()).where(Job.id.in_(map(parse_job_id, ids))).group_by(Job.status)
            )
            return Counter({status.value: count for status, count in rows})

    def wait(
        self, ids: Sequence[str], timeout_s: float = 120, meanwhile: Callable[[], object] = lambda: None
    ) -> Counter[str]:
        """Wait until every job is final; returns how many ended how."""
        deadline = time.monotonic() + timeout_s
        while True:
            statuses = self.statuses(ids)
            if sum(statuses[s] for s in FINAL) == len(ids):
                return statuses
            assert time.monotonic() < deadline, f"not final after {timeout_s} s: {statuses}"
            meanwhile()
            time.sleep(0.2)

    def wait_for(self, ids: Sequence[str], status: str, count: int = 1, timeout_s: float = 60) -> None:
        """Wait until at least `count` of the jobs stand in `status`."""
        deadline = time.monotonic() + timeout_s
        while self.statuses(ids)[status] < count:
            assert time.monotonic() < deadline, f"never {count} {status}: {self.statuses(ids)}"
            time.sleep(0.02)

    def check_books(self, ids: Sequence[str], files: Path) -> None:
        """What must hold after every fault: one final status, one event of it, outputs once and on the disk."""
        with self.sessions() as session:
            jobs = session.scalars(select(Job).where(Job.id.in_(map(parse_job_id, ids)))).all()
            assert len(jobs) == len(ids)
            for job in jobs:
                assert job.status.value in FINAL
                assert job.leased_until is None
                events = session.scalars(select(WebhookEvent.type).where(WebhookEvent.job_id == job.id)).all()
                assert events == [f"job.{job.status.value}"]
                outputs = session.scalars(select(Output).where(Output.job_id == job.id)).all()
                assert len(outputs) == (1 if job.status.value == "succeeded" else 0)
                for output in outputs:
                    stored = (files / output.key).read_bytes()
                    assert len(stored) == output.bytes
                    with Image.open(io.BytesIO(stored)) as cutout:
                        assert cutout.size == (output.width, output.height)


def _comment(text: str) -> bytes:
    return b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text.encode()
