"""What submitting a photo costs: `python -m benchmarks.submit [rounds]`, beside a route that only stores it.

A JPEG of 200 kB goes through `POST /v1/jobs` and through `benchmarks.bare_route`, in turns, each over one connection to
a process of its own, both on one PostgreSQL and one disk. CPU is that of the server's process a request. No worker
runs, so the doorbell rings once and is found rung from then on.
"""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks.servers import cpu_ms, p50_p95, servers, time_ms
from cli.ports import free_port
from tests.acceptance.stack import running_stack
from tests.photo_files import save

_WARM_UP = 20


def photo() -> bytes:
    """A JPEG of about 200 kB: noise, which can't be made smaller."""
    return save(np.random.default_rng(1).integers(0, 256, (440, 640, 3), np.uint8), "JPEG", quality=80)


@contextmanager
def bare_server(database_url: str, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The bare route in a process of its own: its URL and the process."""
    folder.mkdir()
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.bare_route:app"]
    options = ["--port", str(port), "--log-level", "warning", "--no-access-log"]
    variables = {**os.environ, "BARE_DATABASE_URL": database_url, "BARE_FOLDER": str(folder)}
    with subprocess.Popen([*command, *options], env=variables) as process:  # noqa: S603 - our own command
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 30
            while not _answers(url):
                if time.monotonic() > deadline:
                    message = "the bare route did not start"
                    raise RuntimeError(message)
                time.sleep(0.1)
            yield url, psutil.Process(process.pid)
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/openapi.json", trust_env=False).is_success
    except httpx.TransportError:
        return False


def main(rounds: int) -> None:
    body = photo()
    with (
        servers() as settings,
        running_stack(settings, "api") as stack,
        bare_server(settings.require_database_url(), settings.data_dir / "bare") as (bare_url, bare_process),
        httpx.Client(base_url=bare_url, trust_env=False) as bare_client,
    ):
        routes = {
            "bare route": (bare_client, "/photos", bare_process),
            "POST /v1/jobs": (stack.client, "/v1/jobs", psutil.Process(stack.pids("api")[0])),
        }
        took_ms: dict[str, list[float]] = {name: [] for name in routes}
        begun_ms = {}
        for round_ in range(-_WARM_UP, rounds):
            if round_ == 0:
                begun_ms = {name: cpu_ms(process) for name, (_, _, process) in routes.items()}
            for name, (client, page, _) in routes.items():
                once = secrets.token_bytes(8)  # after the JPEG's end: no two uploads are alike
                spent = time_ms(lambda c=client, p=page, b=body + once: _post(c, p, b))
                if round_ >= 0:
                    took_ms[name].append(spent)
        print(f"{len(body)} bytes, {rounds} of each, in turns")
        shown = {}
        for name, (_, _, process) in routes.items():
            cpu = (cpu_ms(process) - begun_ms[name]) / rounds
            p50, p95 = p50_p95(took_ms[name])
            shown[name] = (p50, p95, cpu)
            print(f"{name}: p50 {p50:.2f} ms, p95 {p95:.2f} ms, CPU {cpu:.2f} ms")
        ratios = [ours / bare for bare, ours in zip(*shown.values(), strict=True)]
        print("ratio: p50 {:.2f}, p95 {:.2f}, CPU {:.2f}".format(*ratios))


def _post(client: httpx.Client, page: str, body: bytes) -> None:
    client.post(page, files={"image_file": ("mug.jpg", body)}).raise_for_status()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
