"""A batch of 50,000 lines through API and io worker: `python -m benchmarks.batch_stack [lines]`.

Both are processes of their own, as in service; no gpu worker runs. The lines name one upload, so nothing is fetched.
Printed are the seconds until the batch is accepted, judged and expanded into jobs, and the memory of both processes:
resident before, and its peak.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from sqlalchemy import func, select

from benchmarks.servers import servers
from benchmarks.submit import photo
from db.batch_models import Batch, BatchStatus
from db.models import Job
from jobs.ids import BATCH_PREFIX, parse_id
from tests.acceptance.stack import RunningStack, running_stack

_LONGEST_S = 600


def resident_mib(pid: int, name: str = "VmRSS") -> float:
    """Resident memory of a process; its peak as `VmHWM`."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


def post(client: httpx.Client, page: str, **files: tuple[str, bytes]) -> str:
    """Upload; returns the id of what was made."""
    reply = client.post(page, files=files).raise_for_status()
    return str(reply.json()["id"])


def manifest(upload_id: str, lines: int) -> bytes:
    """JSONL."""
    return b"".join(
        json.dumps({"custom_id": f"SKU-{n}", "upload_id": upload_id, "labels": {"sku": str(n)}}).encode() + b"\n"
        for n in range(lines)
    )


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LONGEST_S
    while not is_so():
        if time.monotonic() > deadline:
            message = "it takes too long"
            raise RuntimeError(message)
        time.sleep(0.05)


def measure(stack: RunningStack, lines: int) -> None:
    pids = {"api": stack.pids("api")[0], "io": stack.worker_pid("io")}
    before = {name: resident_mib(pid) for name, pid in pids.items()}
    body = manifest(post(stack.client, "/v1/uploads", image_file=("mug.jpg", photo())), lines)
    begun = time.perf_counter()
    batch_id = parse_id(post(stack.client, "/v1/batches", file=("manifest.jsonl", body)), BATCH_PREFIX)

    def passed_s() -> float:
        return time.perf_counter() - begun

    print(f"{lines} lines, {len(body) / 2**20:.1f} MiB: accepted in {passed_s():.2f} s")
    with stack.sessions() as session:

        def batch() -> Batch:
            session.rollback()
            return session.get_one(Batch, batch_id, populate_existing=True)

        wait_until(lambda: batch().status is not BatchStatus.VALIDATING)
        print(f"judged after {passed_s():.1f} s")
        wait_until(lambda: batch().due_at is None)
        print(f"expanded into jobs after {passed_s():.1f} s")
        made = session.scalar(select(func.count()).select_from(Job).where(Job.batch_id == batch_id))
        if made != lines:
            message = f"{made} jobs of {lines} lines"
            raise RuntimeError(message)
    for name, pid in pids.items():
        print(f"{name}: {before[name]:.0f} MiB before, {resident_mib(pid, 'VmHWM'):.0f} MiB at most")


def main(lines: int) -> None:
    with servers() as settings, running_stack(settings, "api", "io") as stack:
        measure(stack, lines)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
