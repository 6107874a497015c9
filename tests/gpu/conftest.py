"""Tests that want a CUDA device. Where there is none they are not collected.

`PACKSHOT_GPU_TESTS=cpu` runs them on the CPU instead, all but those that are about the device's own memory: a dry run
for whoever changes them without a device at hand.
"""

import os
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from config.settings import Settings
from jobs.models import installed_models
from tests.gpu_worker import GpuWorld
from tests.images import draw
from vision.arrays import Canvas
from vision.segmenters.network import load_network
from vision.segmenters.runtimes import RuntimeOptions, build_runtime
from vision.segmenters.runtimes.pytorch import TorchRuntime
from vision.segmenters.spec import ModelSpec
from vision.segmenters.unet import UnetSegmenter
from worker.models import Models

ON_CPU = os.environ.get("PACKSHOT_GPU_TESTS") == "cpu"
if not ON_CPU and not torch.cuda.is_available():
    collect_ignore_glob = ["test_*.py"]

DEVICE = "cpu" if ON_CPU else "cuda"
SHAPES = ("disc", "ring", "wedge", "hair")
GROUNDS = ("plain", "white", "textured")


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    """The packaged model that a worker runs by default."""
    spec = installed_models().find("unet-fast")
    assert spec is not None
    return spec


@pytest.fixture(scope="session")
def runtime(spec: ModelSpec) -> TorchRuntime:
    built = build_runtime(f"torch-{DEVICE}", lambda: load_network(spec), spec, RuntimeOptions())
    assert isinstance(built, TorchRuntime)
    return built


@pytest.fixture(scope="session")
def segmenter(spec: ModelSpec, runtime: TorchRuntime) -> UnetSegmenter:
    return UnetSegmenter(spec, runtime)


@pytest.fixture(scope="session")
def canvases(segmenter: UnetSegmenter) -> list[Canvas]:
    """Sixteen different pictures as the network sees them."""
    drawn = [draw(SHAPES[n % 4], GROUNDS[n % 3], (200 + 40 * n, 300 - 10 * n)) for n in range(16)]
    return [segmenter.prepare(each.image).canvas for each in drawn]


@pytest.fixture
def world(settings: Settings, segmenter: UnetSegmenter) -> Iterator[GpuWorld]:
    """A worker around the real network, on real servers."""
    ids = {segmenter.spec.name: segmenter.version, segmenter.version: segmenter.version}
    world = GpuWorld(settings, Models(ids, segmenter, lambda _: segmenter))
    yield world
    world.close()


@pytest.fixture(scope="session")
def batch(canvases: list[Canvas]) -> np.ndarray:
    """(16, 3, H, W) uint8."""
    return np.ascontiguousarray(np.stack(canvases).transpose(0, 3, 1, 2))
