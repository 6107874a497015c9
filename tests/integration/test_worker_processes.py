"""Real processes: supervisor, pinned children, Celery worker, doorbells and signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from cli.processes import settings_environment
from config.settings import Settings
from db import workers
from db.base import JobStatus
from db.models import Job
from db.worker_models import WorkerHeartbeat
from dispatch.names import TASKS, Bell
from jobs import registry
from jobs.models import Models
from tests.fakes import fake_spec
from tests.gpu_worker import GpuWorld, photo

ROOT = Path(__file__).parents[2]
WAIT_S = 60.0


def wait_for(condition: Callable[[], bool], *, seconds: float = WAIT_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


class Processes:
    """Starts processes and leaves none behind."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.started: list[subprocess.Popen[bytes]] = []

    def supervisor(self, *devices: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        return self.start(["-m", "tests.integration.fake_gpu_supervisor", *devices], environment)

    def start(self, arguments: list[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        variables = settings_environment(self.settings) | {"PYTHONPATH": str(ROOT)} | dict(environment or {})
        process = subprocess.Popen([sys.executable, *arguments], env=variables, cwd=ROOT)
        self.started.append(process)
        return process

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                family = psutil.Process(process.pid).children(recursive=True)
                for each in (psutil.Process(process.pid), *family):
                    try:
                        each.kill()
                    except psutil.NoSuchProcess:
                        continue
                process.wait()


@pytest.fixture
def quick(settings: Settings) -> Settings:
    quick = {"heartbeat_s": 0.2, "lease_s": 3.0, "decode_processes": 1, "sweep_s": 0.3, "shutdown_s": 10.0}
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return Settings(**given, **quick)


@pytest.fixture
def processes(quick: Settings) -> Iterator[Processes]:
    processes = Processes(quick)
    yield processes
    processes.close()


@pytest.fixture
def world(quick: Settings) -> Iterator[GpuWorld]:
    world = GpuWorld(quick)
    yield world
    world.close()


def heartbeats(world: GpuWorld, kind: str = "gpu") -> list[WorkerHeartbeat]:
    with world.res.sessions() as session:
        return [row for row in workers.live(session, within_s=5) if row.kind == kind]


def crashes(world: GpuWorld) -> set[int]:
    with world.res.sessions() as session:
        return set(session.scalars(select(Job.crashes)))


def test_two_devices_get_a_pinned_child_each(processes: Processes, world: GpuWorld, quick: Settings) -> None:
    supervisor = processes.supervisor("GPU-one", "GPU-two")
    wait_for(lambda: len(heartbeats(world)) == 2)
    pins = {path.read_text() for path in quick.data_dir.glob("child-*")}
    assert pins == {"GPU-one", "GPU-two"}
    children = {row.pid for row in heartbeats(world)}
    assert children <= {each.pid for each in psutil.Process(supervisor.pid).children()}

    # One that dies is started again on the same device.
    victim = min(children)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: len({row.pid for row in heartbeats(world)} - children) == 1)
    fresh = next(row.pid for row in heartbeats(world) if row.pid not in children)
    pin = {path.name: path.read_text() for path in quick.data_dir.glob("child-*")}
    assert pin[f"child-{fresh}"] == pin[f"child-{victim}"]

    supervisor.terminate()
    assert supervisor.wait(30) == 0
    assert not psutil.pid_exists(fresh)


def test_the_same_doorbell_three_times_does_each_job_once(processes: Processes, world: GpuWorld) -> None:
    processes.supervisor()
    wait_for(lambda: bool(heartbeats(world)))
    jobs = [world.add(photo(product=(n, 0, 0))) for n in range(5)]
    for _ in range(3):
        world.celery.send_task(TASKS[Bell.GPU], queue=Bell.GPU.value)
    wait_for(lambda: set(world.statuses(jobs)) == {JobStatus.SUCCEEDED})
    with world.celery.connection_for_read() as connection:
        wait_for(lambda: connection.default_channel.client.llen(Bell.GPU.value) == 0)
    world.assert_each_done_once(jobs)
    assert {world.job(job_id).attempt for job_id in jobs} == {1}


def test_sigterm_in_mid_batch_loses_nothing_and_blames_nobody(processes: Processes, world: GpuWorld) -> None:
    supervisor = processes.supervisor(environment={"FAKE_SLOW_S": "1.5"})
    wait_for(lambda: bool(heartbeats(world)))
    jobs = [world.add(photo(product=(n, 0, 0))) for n in range(20)]
    world.doorbell.ring(Bell.GPU)
    wait_for(lambda: JobStatus.PROCESSING in world.statuses(jobs))
    time.sleep(0.5)
    supervisor.terminate()
    assert supervisor.wait(30) == 0
    statuses = world.statuses(jobs)
    assert JobStatus.PROCESSING not in statuses
    assert JobStatus.QUEUED in statuses
    assert crashes(world) == {0}
    assert heartbeats(world) == []
    processes.supervisor()
    wait_for(lambda: bool(heartbeats(world)))
    world.doorbell.ring(Bell.GPU, again=True)
    wait_for(lambda: set(world.statuses(jobs)) == {JobStatus.SUCCEEDED})
    world.assert_each_done_once(jobs)


def test_a_worker_that_outgrew_its_memory_is_replaced_and_nothing_is_lost(
    processes: Processes, world: GpuWorld, quick: Settings
) -> None:
    held = quick.data_dir / "held"
    held.write_text("100", encoding="ascii")
    supervisor = processes.supervisor(environment={"FAKE_SLOW_S": "0.5", "FAKE_HELD": str(held)})
    wait_for(lambda: bool(heartbeats(world)))
    [before] = heartbeats(world)
    jobs = [world.add(photo(product=(n, 0, 0))) for n in range(24)]
    world.doorbell.ring(Bell.GPU)
    wait_for(lambda: JobStatus.SUCCEEDED in world.statuses(jobs))
    held.write_text("101", encoding="ascii")
    wait_for(lambda: before.pid not in {row.pid for row in heartbeats(world)})
    held.write_text("100", encoding="ascii")
    wait_for(lambda: bool(heartbeats(world)))
    world.doorbell.ring(Bell.GPU, again=True)
    wait_for(lambda: set(world.statuses(jobs)) == {JobStatus.SUCCEEDED})
    world.assert_each_done_once(jobs)
    assert crashes(world) == {0}
    assert supervisor.poll() is None


def test_two_sigterms_give_back_what_is_held(processes: Processes, world: GpuWorld) -> None:
    supervisor = processes.supervisor(environment={"FAKE_SLOW_S": "60"})
    wait_for(lambda: bool(heartbeats(world)))
    job_id = world.add()
    world.doorbell.ring(Bell.GPU)
    wait_for(lambda: world.job(job_id).status is JobStatus.PROCESSING)
    time.sleep(0.5)
    supervisor.terminate()
    time.sleep(1)
    assert supervisor.poll() is None
    supervisor.terminate()
    assert supervisor.wait(10) == 0
    assert (world.job(job_id).status, world.job(job_id).crashes) == (JobStatus.QUEUED, 0)


def test_a_failed_set_up_ends_the_supervisor(processes: Processes) -> None:
    supervisor = processes.supervisor("GPU-one", "GPU-two", environment={"FAKE_SETUP": "fails"})
    assert supervisor.wait(WAIT_S) == 1


def test_children_go_with_a_killed_supervisor(processes: Processes, world: GpuWorld) -> None:
    supervisor = processes.supervisor()
    wait_for(lambda: bool(heartbeats(world)))
    [child] = heartbeats(world)
    supervisor.kill()
    wait_for(lambda: not psutil.pid_exists(child.pid) or psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize("kind", ["io", "sweeper"])
def test_io_and_sweeper_start_beat_and_stop(processes: Processes, world: GpuWorld, kind: str) -> None:
    process = processes.start(["-m", "cli", "worker", kind])
    wait_for(lambda: bool(heartbeats(world, kind)))
    if kind == "sweeper":
        wait_for(lambda: heartbeats(world, kind)[0].progress_at is not None)
    process.terminate()
    assert process.wait(30) == 0
    assert heartbeats(world, kind) == []


def test_the_sweeper_rings_for_what_nobody_claimed_and_returns_lost_jobs(processes: Processes, world: GpuWorld) -> None:
    job_id = world.add()  # no doorbell rings
    supervisor = processes.supervisor(environment={"FAKE_SLOW_S": "30"})
    processes.start(["-m", "cli", "worker", "sweeper"])
    wait_for(lambda: world.job(job_id).status is JobStatus.PROCESSING)
    [child] = heartbeats(world)
    os.kill(supervisor.pid, signal.SIGKILL)
    os.kill(child.pid, signal.SIGKILL)
    processes.supervisor()
    wait_for(lambda: world.job(job_id).status is JobStatus.SUCCEEDED)
    world.assert_each_done_once([job_id])
    assert (world.job(job_id).crashes, world.job(job_id).attempt) == (1, 2)


def test_a_running_worker_takes_a_promoted_model(processes: Processes, world: GpuWorld) -> None:
    processes.supervisor(environment={"FAKE_REGISTRY": "1"})
    wait_for(lambda: bool(heartbeats(world)))
    first = world.add(photo(product=(1, 0, 0)))
    world.doorbell.ring(Bell.GPU)
    wait_for(lambda: world.job(first).status is JobStatus.SUCCEEDED)
    [before] = heartbeats(world)
    with world.res.sessions.begin() as session:
        packaged = Models((fake_spec(),))
        registry.register(session, fake_spec("2"), packaged, key="models/x", size_bytes=1, source="test")
        registry.promote(session, "fake@2", packaged)
    second = world.add(photo(product=(2, 0, 0)))
    world.doorbell.ring(Bell.GPU)
    wait_for(lambda: world.job(second).status is JobStatus.SUCCEEDED)
    assert [world.job(job_id).model_version for job_id in (first, second)] == ["fake@1", "fake@2"]
    wait_for(lambda: [row.model_version for row in heartbeats(world)] == ["fake@2"])
    assert [row.pid for row in heartbeats(world)] == [before.pid]
    assert (before.model_version, before.problem) == ("fake@1", None)
