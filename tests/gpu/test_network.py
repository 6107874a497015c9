"""The network on the device: alone or in company, in half precision, and when its memory is full."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.gpu.conftest import DEVICE, ON_CPU
from vision.arrays import Canvas
from vision.numeric import sigmoid
from vision.segmenters.base import SegmenterOutOfMemory
from vision.segmenters.network import load_network
from vision.segmenters.runtimes import RuntimeOptions, build_runtime
from vision.segmenters.runtimes.pytorch import TorchRuntime
from vision.segmenters.spec import ModelSpec
from vision.segmenters.unet import UnetSegmenter
from worker.microbatch import predict_each

STEP = 1 / 255
"""Of an 8 bit alpha."""


@pytest.mark.gpu
@pytest.mark.parametrize("size", [2, 3, 8, 16])
def test_a_microbatch_equals_its_photos_one_by_one(segmenter: UnetSegmenter, canvases: list[Canvas], size: int) -> None:
    together = segmenter.predict(canvases[:size])
    for canvas, logits in zip(canvases, together, strict=False):
        [alone] = segmenter.predict([canvas])
        assert np.abs(sigmoid(logits) - sigmoid(alone)).max() <= 2 * STEP


@pytest.mark.gpu
def test_half_precision_agrees_with_float32(spec: ModelSpec, runtime: TorchRuntime, batch: np.ndarray) -> None:
    exact = build_runtime("torch-cpu", lambda: load_network(spec), spec, RuntimeOptions())
    difference = np.abs(sigmoid(runtime.run(batch)) - sigmoid(exact.run(batch)))
    assert difference.max() <= 2 * STEP


@pytest.mark.gpu
@pytest.mark.parametrize(
    "how", ["compile", pytest.param("graphs", marks=pytest.mark.skipif(ON_CPU, reason="graphs are CUDA's"))]
)
def test_other_ways_agree_with_eager(how: str, spec: ModelSpec, runtime: TorchRuntime, batch: np.ndarray) -> None:
    other = build_runtime(f"torch-{how}-{DEVICE}", lambda: load_network(spec), spec, RuntimeOptions())
    # The first size again: a recording is replayed with other photos.
    for part in (batch[:1], batch[:4], batch[4:8], batch[1:2]):
        difference = np.abs(sigmoid(other.run(part)) - sigmoid(runtime.run(part)))
        assert difference.max() <= 2 * STEP


@pytest.mark.gpu
@pytest.mark.skipif(ON_CPU, reason="measures ways of CUDA")
def test_auto_takes_a_way_that_works_here_and_keeps_the_choice(spec: ModelSpec, tmp_path: Path) -> None:
    options = RuntimeOptions(cache_dir=tmp_path, microbatch=4)
    chosen = build_runtime("auto", lambda: load_network(spec), spec, options)
    assert chosen.name in {"torch-cuda", "torch-compile-cuda", "torch-graphs-cuda"}
    assert len(list(tmp_path.glob("quickest-*.json"))) == 1
    assert build_runtime("auto", lambda: load_network(spec), spec, options).name == chosen.name


@pytest.mark.gpu
@pytest.mark.skipif(ON_CPU, reason="about the memory of a device")
def test_a_full_device_halves_the_microbatch_and_gives_its_memory_back(
    segmenter: UnetSegmenter, canvases: list[Canvas]
) -> None:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    at_rest = torch.cuda.memory_allocated()
    expected = segmenter.predict(canvases[:4])
    need = torch.cuda.max_memory_reserved()
    torch.cuda.empty_cache()
    # Room for four photos, not for sixteen.
    torch.cuda.set_per_process_memory_fraction(1.5 * need / torch.cuda.get_device_properties(0).total_memory)
    try:
        with pytest.raises(SegmenterOutOfMemory):
            segmenter.predict(canvases)
        results = predict_each(segmenter, canvases)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert torch.cuda.memory_allocated() == at_rest
    for logits, single in zip(results, expected, strict=False):
        assert not isinstance(logits, Exception)
        assert np.abs(sigmoid(logits) - sigmoid(single)).max() <= 2 * STEP
    assert not [result for result in results if isinstance(result, Exception)]
