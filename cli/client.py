"""The few calls that `demo` and `bench` make to a running service, as any caller would make them."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import httpx

from jobs.lifecycle import FINAL

STAGES = {
    "queue": "queue_ms",
    "fetch": "fetch_ms",
    "decode": "decode_ms",
    "letterbox": "letterbox_ms",
    "forward": "infer_ms",
    "refine": "post_ms",
    "encode": "encode_ms",
    "store": "store_ms",
    "commit": "commit_ms",
}
"""A job's stages in their order, and the metric of each."""
_FINAL = frozenset(status.value for status in FINAL)


class ServiceError(Exception):
    """The service refused, or did not answer in time; the message says what it said."""


@dataclass(frozen=True)
class Done:
    """A job that has ended. `upload_s`: from the start of the request to its reply."""

    job: dict[str, Any]
    upload_s: float

    @property
    def work_s(self) -> float:
        """From the commit of the job to the commit of its end, by the service's clock."""
        start, end = (datetime.fromisoformat(self.job[name]) for name in ("created_at", "completed_at"))
        return (end - start).total_seconds()

    @property
    def latency_s(self) -> float:
        """From the start of the upload to the end of the job; how often somebody polls does not show."""
        return self.upload_s + self.work_s


class Client:
    """One caller. Safe to use from several threads."""

    def __init__(self, url: str, key: str) -> None:
        self._http = httpx.Client(
            base_url=url.rstrip("/"),
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
            # A proxy of the environment has no business between a machine and itself.
            trust_env=False,
            limits=httpx.Limits(max_connections=100),
        )

    def submit(self, photo: bytes, filename: str, **options: str) -> tuple[dict[str, Any], float]:
        """Upload a photo; returns the job and the seconds that it took."""
        start = time.perf_counter()
        reply = self._send("POST", "/v1/jobs", files={"image_file": (filename, photo)}, data=options)
        return _json(reply), time.perf_counter() - start

    def wait(self, job: dict[str, Any], upload_s: float, *, timeout_s: float, poll_s: float) -> Done:
        """Poll until the job has ended."""
        deadline = time.monotonic() + timeout_s
        while job["status"] not in _FINAL:
            if time.monotonic() > deadline:
                raise ServiceError(f"{job['id']} is {job['status']} after {timeout_s:.0f} s")
            time.sleep(poll_s)
            job = _json(self._send("GET", f"/v1/jobs/{job['id']}"))
        return Done(job, upload_s)

    def download(self, job: dict[str, Any]) -> bytes:
        """The cutout of a job that succeeded."""
        reply = self._send("GET", f"/v1/jobs/{job['id']}/outputs/cutout")
        if reply.is_error:
            raise ServiceError(reply.text)
        return reply.content

    def delete(self, job: dict[str, Any]) -> None:
        """Leave nothing of the job behind."""
        self._send("DELETE", f"/v1/jobs/{job['id']}")

    def _send(self, method: str, path: str, **body: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **body)
        except httpx.TransportError as error:
            raise ServiceError(f"{path}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()


def _json(reply: httpx.Response) -> dict[str, Any]:
    if reply.is_error:
        raise ServiceError(f"{reply.status_code}: {reply.text}")
    body: dict[str, Any] = reply.json()
    return body
