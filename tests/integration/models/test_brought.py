"""Weights that somebody brings: state dicts of smp, graphs that do not fit, and what is refused unopened."""

from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load_file, save_file

from config.settings import Settings
from db.session import Sessions
from storage.local import LocalStorage
from tests.integration.models.support import Command, write_manifest
from vision.segmenters.checksum import file_sha256
from worker.registry import RegisteredModels

SMP_MANIFEST = """
name = "smp"
version = "1"
architecture = "{architecture}"
encoder = "resnet18"
decoder_channels = [16, 8, 8, 8, 4]
file = "model.safetensors"
sha256 = "{sha256}"
canvas_hw = [64, 64]
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
licence = "MIT"
"""


def smp_manifest(folder: Path, classes: int = 1, architecture: str = "smp-unet") -> Path:
    """A state dict as segmentation-models-pytorch names it, and its manifest."""
    torch.manual_seed(0)
    network = smp.Unet("resnet18", encoder_weights=None, decoder_channels=(16, 8, 8, 8, 4), classes=classes)
    save_file(network.state_dict(), folder / "model.safetensors")
    manifest = folder / "smp.toml"
    sha256 = file_sha256(folder / "model.safetensors")
    manifest.write_text(SMP_MANIFEST.format(architecture=architecture, sha256=sha256), encoding="utf-8")
    return manifest


def test_a_state_dict_of_smp_is_added_and_gives_what_smp_gives(
    command: Command, tmp_path: Path, settings: Settings, sessions: Sessions
) -> None:
    assert "Added smp@1" in command("add", smp_manifest(tmp_path))
    segmenter = RegisteredModels(
        settings.model_copy(update={"runtime": "torch-cpu", "microbatch_images": 1}),
        sessions,
        LocalStorage(settings.files_path),
    ).load("smp@1")
    canvas = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    network = smp.Unet("resnet18", encoder_weights=None, decoder_channels=(16, 8, 8, 8, 4), classes=1).eval()
    network.load_state_dict(load_file(tmp_path / "model.safetensors"))
    pixels = (canvas / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    with torch.inference_mode():
        wanted = network(torch.tensor(pixels.transpose(2, 0, 1)[None], dtype=torch.float32))[0, 0].numpy()
    np.testing.assert_allclose(segmenter.predict([canvas])[0], wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": 2}, "segmentation_head.0.weight is [2, 4, 3, 3] in the file, [1, 4, 3, 3] in smp-unet"),
        ({"architecture": "smp-fpn"}, "takes 2 decoder channels"),
        ({"architecture": "yolo"}, "unknown architecture 'yolo'"),
    ],
)
def test_a_state_dict_that_does_not_fit_is_told(command: Command, tmp_path: Path, options: dict, said: str) -> None:
    told = command("add", smp_manifest(tmp_path, **options), code=1)
    assert "model_does_not_fit" in told
    assert said in told


@pytest.mark.parametrize("name", ["model.pt", "archive.onnx"])
def test_torchscript_is_refused_unopened(command: Command, tmp_path: Path, name: str) -> None:
    script = torch.nn.Conv2d(3, 1, 1)
    torch.save(script.state_dict(), tmp_path / name)  # a ZIP of pickles, as TorchScript is too
    source = tmp_path / name
    if source.suffix == ".onnx":
        assert "invalid_manifest: archive.onnx says nothing of itself" in command("add", source, code=1)
        source = write_manifest(source)
    assert "unsafe_weights" in command("add", source, code=1)


def test_a_graph_that_does_not_fit_its_manifest_is_told(command: Command, graph: Path) -> None:
    manifest = write_manifest(graph)
    manifest.write_text(manifest.read_text().replace("[32, 32]", "[48, 48]"))
    assert "model_does_not_fit: the graph's input is [1,3,32,32]" in command("add", manifest, code=1)
    manifest = write_manifest(graph, sha256="0" * 64)
    assert "sha256_mismatch: dark-1.onnx has sha256" in command("add", manifest, code=1)
