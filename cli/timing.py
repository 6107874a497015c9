"""What `demo` and `bench` measure of a job."""

import time
from dataclasses import dataclass

from packshot_client import Client, Job

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


@dataclass(frozen=True)
class Done:
    """A job that has ended. `upload_s`: from the start of the request to its reply."""

    job: Job
    upload_s: float

    @property
    def work_s(self) -> float:
        """From the commit of the job to the commit of its end, by the service's clock."""
        if self.job.completed_at is None:
            raise ValueError(f"{self.job.id} has not ended")
        return (self.job.completed_at - self.job.created_at).total_seconds()

    @property
    def latency_s(self) -> float:
        """From the start of the upload to the end of the job; when somebody looks does not show."""
        return self.upload_s + self.work_s


def timed_submit(client: Client, photo: bytes, filename: str) -> tuple[Job, float]:
    """Upload a photo; returns the job and the seconds that it took. `PackshotError`."""
    start = time.perf_counter()
    job = client.jobs.create(photo, filename=filename)
    return job, time.perf_counter() - start
