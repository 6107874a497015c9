"""What workers count, and that it can be scraped."""

import json
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from config.settings import Settings
from tests.gpu_worker import GpuWorld, photo
from tests.ports import free_port
from worker.metrics import WorkerMetrics
from worker.supervisor import Supervisor


@pytest.fixture
def world(settings: Settings) -> Iterator[GpuWorld]:
    world = GpuWorld(settings)
    yield world
    world.close()


def scrape(metrics: WorkerMetrics, settings: Settings) -> dict[str, float]:
    """Samples by name and labels."""
    port = free_port()
    shown = Settings(**{**settings.model_dump(), "metrics_port": port})
    with metrics.shown(shown), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
        text = reply.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name + json.dumps(sample.labels or None): sample.value for sample in samples}


def test_a_gpu_worker_tells_of_photos_stages_and_microbatches(world: GpuWorld, settings: Settings) -> None:
    made = [world.add(photo(product=(value, 0, 0))) for value in range(3)]
    bad = world.add(b"no photo")
    world.drain()
    seen = scrape(world.res.metrics, settings)
    assert seen['packshot_worker_jobs_total{"outcome": "succeeded"}'] == len(made)
    assert seen['packshot_worker_jobs_total{"outcome": "failed"}'] == 1
    assert seen['packshot_worker_job_errors_total{"code": "invalid_file_type"}'] == 1
    for stage in ("queue", "decode", "letterbox", "infer", "post", "encode", "store", "commit"):
        assert seen[f'packshot_worker_stage_duration_seconds_count{{"stage": "{stage}"}}'] == len(made)
    assert seen["packshot_worker_microbatch_images_sumnull"] == len(made)
    assert seen["packshot_worker_held_jobsnull"] == 0
    assert seen["process_resident_memory_bytesnull"] > 0
    assert not any(str(job).replace("-", "") in name for job in (*made, bad) for name in seen)


def test_a_passing_fault_is_a_retry(world: GpuWorld, settings: Settings) -> None:
    world.add()
    world.storage.is_full = True
    world.drain()
    seen = scrape(world.res.metrics, settings)
    assert seen['packshot_worker_jobs_total{"outcome": "retried"}'] == 1
    assert seen['packshot_worker_job_errors_total{"code": "storage_unavailable"}'] == 1


def test_without_a_port_nothing_listens(settings: Settings) -> None:
    with WorkerMetrics().shown(settings):
        pass


def test_children_of_one_machine_take_ports_side_by_side() -> None:
    ports = [child.environment["PACKSHOT_METRICS_PORT"] for child in _children({"PACKSHOT_METRICS_PORT": "9100"})]
    assert ports == ["9100", "9101"]
    assert all("PACKSHOT_METRICS_PORT" not in child.environment for child in _children({}))


def _children(environment: dict[str, str]) -> list:
    return Supervisor(["GPU-one", "GPU-two"], environment)._children
