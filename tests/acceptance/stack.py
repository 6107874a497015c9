"""The stack's real processes for acceptance tests: each one can be started, stopped, killed and read on its own."""

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import psutil

from cli.ports import free_port
from cli.processes import Child, complete, settings_environment
from cli.stack import SERVICES
from config.settings import Settings
from db import workers
from db.base import JobStatus
from db.session import Sessions, build_engine, build_sessions
from jobs import keys
from jobs.lifecycle import FINAL
from tests.acceptance import conversions

READY_S = 180.0


class RunningStack:
    """API, gpu worker, io worker and sweeper as child processes on given settings (which name database and broker).

    `client` is authorised with a fresh key. Names of services: api, gpu, io, sweeper.
    """

    def __init__(self, settings: Settings, sessions: Sessions, *, environment: Mapping[str, str] | None = None) -> None:
        self.settings = settings
        self.sessions = sessions
        self.url = f"http://127.0.0.1:{settings.port}"
        with sessions.begin() as session:
            self.key = keys.create(session, "acceptance")
        self.client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.key.token}"}, timeout=30, trust_env=False
        )
        variables = settings_environment(settings) | dict(environment or {})
        folder = settings.data_dir / "logs"
        self.children = {
            name: Child(name, arguments, environment=variables, log=folder / f"{name}.log")
            for name, arguments in SERVICES.items()
        }

    # Processes

    def start(self, *names: str) -> None:
        """Start services; all without names. Does not wait: see `wait_ready`."""
        for name in names or SERVICES:
            self.children[name].start()

    def wait_ready(self, *names: str, timeout_s: float = READY_S) -> None:
        """Wait until the named services (those running, without names) answer or have a fresh heartbeat."""
        wanted = set(names) or {name for name, child in self.children.items() if child.is_running()}
        deadline = time.monotonic() + timeout_s
        while missing := wanted - self._ready():
            for name in missing:
                assert self.children[name].is_running(), f"{name} fell:\n{self.log(name)}"
            assert time.monotonic() < deadline, f"not ready: {missing}\n{self.log(min(missing))}"
            time.sleep(0.1)

    def _ready(self) -> set[str]:
        ready: set[str] = set()
        with self.sessions.begin() as session:
            for row in workers.live(session, within_s=3 * self.settings.heartbeat_s):
                if row.pid in self.pids(row.kind):  # a heartbeat may be of one that was killed
                    ready.add(row.kind)
        try:
            if self.client.get("/healthz").is_success:
                ready.add("api")
        except httpx.TransportError:
            pass
        return ready

    def pids(self, name: str) -> list[int]:
        """The service's process first, then everything it started; empty when it is not running."""
        child = self.children.get(name)
        if child is None or not child.is_running():
            return []
        process = psutil.Process(child.pid)
        return [process.pid, *(each.pid for each in process.children(recursive=True))]

    def worker_pid(self, kind: str) -> int:
        """Process id of the worker that beats (under its supervisor), from its heartbeat."""
        with self.sessions.begin() as session:
            live = workers.live(session, within_s=3 * self.settings.heartbeat_s)
            return next(row.pid for row in live if row.kind == kind and row.pid in self.pids(kind))

    def kill(self, name: str) -> None:
        """Kill -9 the service and everything it started."""
        pids = self.pids(name)
        for pid in pids:
            try:
                psutil.Process(pid).send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.children[name].wait(10)

    def stop(self, *names: str, timeout_s: float = 30.0) -> None:
        """SIGTERM and wait; fails when a service has to be killed. All without names."""
        running = [self.children[name] for name in names or SERVICES if self.children[name].is_running()]
        for child in running:
            child.terminate()
        for child in running:
            assert child.wait(timeout_s), f"{child.name} did not stop:\n{self.log(child.name)}"

    def close(self) -> None:
        """Leave no process behind."""
        self.client.close()
        for name, child in self.children.items():
            for pid in self.pids(name):
                try:
                    psutil.Process(pid).kill()
                except psutil.NoSuchProcess:
                    continue
            child.wait(10)

    def log(self, name: str) -> str:
        """What the service wrote so far."""
        path = self.children[name].log
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    # Jobs

    def submit(self, photo: bytes, *, filename: str = "photo.jpg", **options: str) -> str:
        """Upload a photo; returns the job's id."""
        reply = self.client.post("/v1/jobs", files={"image_file": (filename, photo)}, data=options)
        assert reply.status_code == httpx.codes.ACCEPTED, reply.text
        return str(reply.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as the API shows it."""
        reply = self.client.get(f"/v1/jobs/{job_id}")
        assert reply.is_success, reply.text
        shown: dict[str, Any] = reply.json()
        return shown

    def wait_final(self, job_ids: Sequence[str], *, timeout_s: float = 120.0) -> list[dict[str, Any]]:
        """Wait until all jobs have a final status; returns them."""
        final = {JobStatus(status).value for status in FINAL}
        deadline = time.monotonic() + timeout_s
        shown: dict[str, dict[str, Any]] = {}
        while waiting := [job_id for job_id in job_ids if job_id not in shown]:
            for job_id in waiting:
                job = self.job(job_id)
                if job["status"] in final:
                    shown[job_id] = job
            assert time.monotonic() < deadline, f"{len(waiting)} jobs are not final\n{self.log('gpu')[-4000:]}"
            time.sleep(0.05)
        return [shown[job_id] for job_id in job_ids]


@contextmanager
def running_stack(settings: Settings, *names: str, **environment: str) -> Iterator[RunningStack]:
    """A stack on its own port; the named services started (all without names) and ready. Killed at the end."""
    own = complete(settings, port=free_port())
    engine = build_engine(own.require_database_url())
    stack = RunningStack(own, build_sessions(engine), environment=environment)
    conversions.lend(own.data_dir)
    try:
        stack.start(*names)
        stack.wait_ready(*names)
        conversions.keep(own.data_dir)
        yield stack
    finally:
        stack.close()
        engine.dispose()
