import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.images import draw
from vision.segmenters.base import SegmenterOutOfMemory
from vision.segmenters.network import build_network, save_network
from vision.segmenters.runtimes import RuntimeOptions, build_runtime
from vision.segmenters.runtimes.pytorch import TorchRuntime
from vision.segmenters.spec import ModelSpec
from vision.segmenters.unet import UnetSegmenter

SPEC = ModelSpec(
    name="tiny",
    version="1",
    architecture="smp-unet",
    encoder="tu-tf_efficientnet_lite0",
    decoder_channels=(16, 8, 8, 8, 8),
    canvas_hw=(64, 64),
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    weights_sha256="",
)
ONE_THREAD = RuntimeOptions(threads=1)
STEP = 1 / 255


def network() -> nn.Module:
    torch.manual_seed(0)
    return build_network(SPEC).eval()


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    sizes = [(64, 64), (97, 131), (1, 1), (1, 300), (301, 7)]
    return [draw("disc", "plain", hw).image for hw in sizes]


class Saved:
    """Weights on disk, and the folder in which their conversion is kept."""

    def __init__(self, folder: Path) -> None:
        self.weights, self.cache = folder / "weights", folder / "cache"
        self.spec = save_network(network(), SPEC, self.weights)

    def load(self, runtime: str) -> UnetSegmenter:
        options = RuntimeOptions(threads=1, cache_dir=self.cache)
        return UnetSegmenter.load(self.spec, folder=self.weights, runtime=runtime, options=options)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return Saved(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def reference(saved: Saved, images) -> list[np.ndarray]:
    segmenter = saved.load("torch-cpu")
    return [segmenter.segment([image])[0] for image in images]


def test_alphas_have_the_images_sizes_and_are_finite(images, reference):
    for image, alpha in zip(images, reference, strict=True):
        assert alpha.shape == image.shape[:2]
        assert alpha.dtype == np.float32
        assert np.isfinite(alpha).all()
        assert 0 <= alpha.min() <= alpha.max() <= 1
    assert np.ptp(reference[1]) > 0.01


@pytest.mark.parametrize("runtime", ["torch-cpu", "openvino-cpu", "onnxruntime-cpu"])
def test_runtimes_and_microbatch_sizes_agree_within_two_steps(runtime, saved: Saved, images, reference):
    segmenter = saved.load(runtime)
    assert segmenter.runtime == runtime
    singly = [segmenter.segment([image])[0] for image in images]
    for together in (segmenter.segment(images), singly):
        for alpha, expected in zip(together, reference, strict=True):
            assert np.abs(alpha - expected).max() <= 2 * STEP


def test_openvino_keeps_its_conversion_by_checksum(saved: Saved, images, monkeypatch: pytest.MonkeyPatch):
    first = saved.load("openvino-cpu")
    kept = sorted(saved.cache.iterdir())
    assert [file.suffix for file in kept] == [".bin", ".sha256", ".xml"]
    assert saved.spec.weights_sha256[:16] in kept[0].name
    monkeypatch.setitem(sys.modules, "vision.segmenters.network", None)  # and with it PyTorch: no import of it works
    second = saved.load("openvino-cpu")
    assert sorted(saved.cache.iterdir()) == kept
    np.testing.assert_array_equal(first.segment(images[:1])[0], second.segment(images[:1])[0])


@pytest.mark.parametrize("suffix", [".bin", ".xml", ".sha256"])
def test_a_damaged_conversion_is_made_anew(suffix, saved, images):
    expected = saved.load("openvino-cpu").segment(images[:1])[0]
    [damaged] = saved.cache.glob(f"*{suffix}")
    size = damaged.stat().st_size
    damaged.write_bytes(bytes(size))
    np.testing.assert_array_equal(saved.load("openvino-cpu").segment(images[:1])[0], expected)
    assert damaged.read_bytes() != bytes(size)
    assert len(list(saved.cache.iterdir())) == 3


def test_no_state_between_calls(images):
    segmenter = UnetSegmenter(SPEC, build_runtime("torch-cpu", network, SPEC, ONE_THREAD))
    before = segmenter.segment(images[:2])
    segmenter.segment(images[2:])
    for one, other in zip(before, segmenter.segment(images[:2]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_empty_microbatch_is_no_work():
    segmenter = UnetSegmenter(SPEC, build_runtime("torch-cpu", network, SPEC, ONE_THREAD))
    assert segmenter.segment([]) == []


def test_out_of_memory_has_its_own_error():
    class Greedy(nn.Module):
        def forward(self, _images):
            raise torch.OutOfMemoryError("CUDA out of memory")

    runtime = TorchRuntime(Greedy(), ONE_THREAD, on_cuda=False)
    with pytest.raises(SegmenterOutOfMemory):
        runtime.run(np.zeros((2, 3, 64, 64), np.uint8))


def test_unknown_runtime_is_refused():
    with pytest.raises(ValueError, match="openvino-cpu"):
        build_runtime("tensorrt", network, SPEC, ONE_THREAD)
