"""`packshot bench`: images a second through the whole service, as its callers see it."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Annotated

import typer

from cli.output import console, errors, fail
from cli.peer import Peer, PeerError, measure_peer, running_peer
from cli.ports import free_port
from cli.processes import complete
from cli.samples import NoPhotosError, camera_jpeg, with_comment
from cli.stack import StackError
from cli.timing import STAGES, Done, timed_submit
from cli.up import interruptible, run_stack
from config.settings import Settings
from packshot_client import Client, JobFailedError, PackshotError

_WAIT_S = 600.0
_WARM_UP = 2


@dataclass(frozen=True)
class Report:
    """What was measured."""

    images: int
    took_s: float
    done: list[Done]
    commit_ms: dict[str, int]
    """By job id; empty where the worker's log is out of reach."""

    def lines(self) -> Iterator[str]:
        """The report, throughput first."""
        yield f"{self.images / self.took_s:.2f} images/s"
        latencies = [each.latency_s for each in self.done]
        cuts = quantiles(latencies, n=20, method="inclusive") if len(latencies) > 1 else latencies * 19
        yield f"latency   p50 {cuts[9]:.2f} s   p95 {cuts[18]:.2f} s   (upload to end of job, {len(latencies)} jobs)"
        sums = dict.fromkeys(STAGES, 0.0)
        for each in self.done:
            for stage, metric in STAGES.items():
                sums[stage] += each.job.metrics.get(metric, 0)
            sums["commit"] += self.commit_ms.get(each.job.id, 0)
        if self.commit_ms:
            in_all_ms = sum(each.work_s for each in self.done) * 1000
            sums["waiting"] = max(in_all_ms - sum(sums.values()), 0.0)
        whole = sum(sums.values()) or 1.0
        yield "share of a job's time by stage (jobs overlap; waiting: ready, but a stage was busy with others):"
        for stage, total_ms in sums.items():
            told = stage != "commit" or self.commit_ms
            shown = (
                f"{total_ms / whole:6.1%}  {total_ms / len(self.done):7.0f} ms"
                if told
                else "  only in the worker's log"
            )
            yield f"  {stage:<10} {shown}"


def bench(
    images: Annotated[int, typer.Option(min=1, help="How many photos of 12 megapixels.")] = 40,
    clients: Annotated[int, typer.Option(min=1, help="Callers at the same time, each with one photo on its way.")] = 8,
    url: Annotated[str | None, typer.Option(help="A running service, instead of one started for this.")] = None,
    key: Annotated[str | None, typer.Option(envvar="PACKSHOT_KEY", help="Its API key.")] = None,
    peer: Annotated[bool, typer.Option(help="Also measure rembg's HTTP server with U2-Net, afterwards.")] = False,
    peer_command: Annotated[str, typer.Option(help="How rembg is called.")] = "rembg",
    peer_url: Annotated[str | None, typer.Option(help="A rembg server that runs already, as http://host:port.")] = None,
    peer_images: Annotated[int, typer.Option(min=1, help="Photos for the peer, which takes its time.")] = 12,
    peer_clients: Annotated[int, typer.Option(min=1, help="Callers of the peer.")] = 4,
) -> None:
    """Measure throughput: JPEG of 12 megapixels in, RGBA PNG of full size out, uploads and downloads included.

    Every photo has bytes of its own, so that no result is reused. Prints images a second on the first line.
    """
    if (url is None) != (key is None):
        raise fail("--url and --key (or PACKSHOT_KEY) belong together.", code=2)
    try:
        other = Peer.find(peer_command, peer_url) if peer or peer_url else None
        photo = camera_jpeg()
        with interruptible(), _service(url, key) as (address, token, log):
            report = _measure(address, token, photo, images, clients, log)
        for line in report.lines():
            console.print(line, markup=False)
        if other is not None:
            with interruptible(), running_peer(other) as address:
                rate = measure_peer(address, photo, images=peer_images, clients=peer_clients)
            console.print(f"peer: {rate:.2f} images/s   (rembg, U2-Net, {peer_clients} clients, {peer_images} images)")
            console.print(f"ours / peer: {report.images / report.took_s / rate:.1f}")
    except (StackError, PackshotError, NoPhotosError, PeerError) as error:
        raise fail(str(error)) from None
    except KeyboardInterrupt:
        raise fail("Stopped.", code=130) from None


@contextmanager
def _service(url: str | None, key: str | None) -> Iterator[tuple[str, str, Path | None]]:
    """URL, key and the gpu worker's log of a service: the given one, or one of our own for the time being."""
    if url is not None and key is not None:
        yield url, key, None
        return
    base = Settings()
    settings = complete(base, data_dir=base.data_dir / "bench", port=free_port(), log_format="json")
    with run_stack(settings, progress=errors) as (stack, issued):
        if issued is None:
            raise StackError("The database of PACKSHOT_DATABASE_URL has keys already: give --url and --key.")
        yield stack.url, issued.token, stack.children["gpu"].log


def _measure(url: str, key: str, photo: bytes, images: int, clients: int, log: Path | None) -> Report:
    run = time.time_ns()
    with Client(url, key, trust_env=False) as client, ThreadPoolExecutor(clients) as pool, errors.status("Measuring"):

        def one(name: str) -> Done:
            job, upload_s = timed_submit(client, with_comment(photo, f"{run}-{name}"), f"{name}.jpg")
            done = Done(client.jobs.wait(job, timeout_s=_WAIT_S), upload_s)
            if done.job.status != "succeeded":
                raise JobFailedError(done.job)
            client.jobs.read_output(done.job)
            client.jobs.delete(done.job)  # a hundred benches must not fill a disk
            return done

        for done in pool.map(one, [f"warm-{number}" for number in range(_WARM_UP)]):
            del done
        start = time.perf_counter()
        results = list(pool.map(one, [f"photo-{number}" for number in range(images)]))
        took_s = time.perf_counter() - start
    return Report(images, took_s, results, _commit_ms(log) if log else {})


def _commit_ms(log: Path) -> dict[str, int]:
    """The last stage can't be in the row that it commits; the worker logs it."""
    found = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        if '"job_succeeded"' in line:
            event = json.loads(line)
            found[str(event["job_id"])] = int(event["commit_ms"])
    return found
