"""What is tried on a CUDA device, with the CPU in its place: `tests/gpu` does the same on a real one."""

from pathlib import Path

import pytest
import torch

from tests.unit.vision.test_segmenter import SPEC, network
from vision.segmenters.runtimes import RuntimeOptions, cuda_auto
from vision.segmenters.runtimes.pytorch import TorchRuntime


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """(name, channels last) of every runtime that was built; compiling does not work on this device."""
    built: list[tuple[str, bool]] = []

    def build(name: str, module: torch.nn.Module, options: RuntimeOptions) -> TorchRuntime:
        built.append((name, options.channels_last))
        if "compile" in name:
            raise RuntimeError("Failed to find C compiler")
        return TorchRuntime(module, options, on_cuda=False)

    monkeypatch.setattr(cuda_auto, "torch_runtime", build)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Imaginary 1")
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    return built


def test_all_ways_are_tried_and_the_choice_serves_networks_of_the_same_shape(
    built: list[tuple[str, bool]], tmp_path: Path
) -> None:
    options = RuntimeOptions(threads=1, cache_dir=tmp_path, microbatch=2)
    cuda_auto.quickest_on_cuda(network, SPEC, options)
    assert built[:2] == [("torch-cuda", True), ("torch-cuda", False)]
    assert [name for name, _ in built[2:]] == ["torch-graphs-cuda", "torch-compile-cuda"]
    assert len(list(tmp_path.glob("quickest-*.json"))) == 1
    built.clear()
    cuda_auto.quickest_on_cuda(network, SPEC, options)
    assert len(built) == 1
    assert "compile" not in built[0][0]


def test_another_card_is_measured_by_itself(
    built: list[tuple[str, bool]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = RuntimeOptions(threads=1, cache_dir=tmp_path, microbatch=2)
    cuda_auto.quickest_on_cuda(network, SPEC, options)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Imaginary 2")
    built.clear()
    cuda_auto.quickest_on_cuda(network, SPEC, options)
    assert len(built) == 4
    assert len(list(tmp_path.glob("quickest-*.json"))) == 2
