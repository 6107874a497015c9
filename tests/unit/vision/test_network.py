from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from vision.segmenters.checksum import WeightsError, file_sha256
from vision.segmenters.network import build_network, load_network, save_network
from vision.segmenters.spec import WEIGHTS_FOLDER, ModelSpec, read_spec

SPEC = ModelSpec(
    name="tiny",
    version="3",
    architecture="smp-unet",
    encoder="tu-tf_efficientnet_lite0",
    decoder_channels=(16, 12, 8, 8, 8),
    canvas_hw=(64, 96),
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.3, 0.4),
    weights_sha256="",
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network(SPEC).eval()


@torch.inference_mode()
def test_logits_have_the_canvas_resolution(network):
    assert network(torch.zeros(2, 3, 64, 96)).shape == (2, 1, 64, 96)


@pytest.mark.parametrize(
    ("architecture", "channels"),
    [
        ("smp-unetplusplus", (16, 12, 8, 8, 8)),
        ("smp-manet", (16, 12, 8, 8, 8)),
        ("smp-fpn", (32, 32)),
        ("smp-deeplabv3plus", (16,)),
        ("fcn", (16,)),
        ("unet-edges", (16, 12, 8, 8, 8)),
    ],
)
@torch.inference_mode()
def test_every_architecture_is_saved_and_loaded(architecture, channels, tmp_path):
    spec = replace(SPEC, architecture=architecture, decoder_channels=channels, encoder="tu-resnet10t")
    network = build_network(spec).eval()
    loaded = load_network(save_network(network, spec, tmp_path), tmp_path)
    images = torch.rand(1, 3, 64, 96) * 255
    assert loaded(images).shape == (1, 1, 64, 96)
    assert (torch.sigmoid(network(images)) - torch.sigmoid(loaded(images))).abs().max() < 2 / 255
    assert torch.equal(loaded.parts(images)[0], loaded(images))


@torch.inference_mode()
def test_body_and_rim_are_seen_in_training_alone():
    network = build_network(replace(SPEC, architecture="unet-edges")).eval()
    assert [part.shape for part in network.parts(torch.zeros(1, 3, 64, 96))] == [(1, 1, 64, 96)] * 3


@torch.inference_mode()
def test_normalisation_is_inside(network):
    images = torch.rand(1, 3, 64, 96) * 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (SPEC.mean, SPEC.std))
    assert torch.allclose(network(images), network.unet((images / 255 - mean) / std), atol=1e-4)


@torch.inference_mode()
def test_saved_and_loaded_weights_agree(network, tmp_path):
    spec = save_network(network, SPEC, tmp_path)
    assert spec == read_spec("tiny-3", tmp_path)
    assert spec.model_id == "tiny@3"
    images = torch.rand(1, 3, 64, 96) * 255
    expected, found = (torch.sigmoid(each(images)) for each in (network, load_network(spec, tmp_path)))
    assert (expected - found).abs().max() < 2 / 255


def test_changed_weights_are_refused(network, tmp_path):
    spec = save_network(network, SPEC, tmp_path)
    path = tmp_path / "tiny-3.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    with pytest.raises(WeightsError, match="sha256"):
        load_network(spec, tmp_path)


def test_weights_of_another_architecture_are_refused(network, tmp_path):
    save_network(network, SPEC, tmp_path)
    path = tmp_path / "tiny-3.safetensors"
    state = load_file(path)
    state["extra"] = torch.zeros(1)
    save_file(state, path)
    with pytest.raises(WeightsError, match="extra"):
        load_network(replace(SPEC, weights_sha256=file_sha256(path)), tmp_path)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"architecture": "x"}, "architecture"),
        ({"canvas_hw": (64, 100)}, "multiple"),
        ({"architecture": "smp-fpn"}, "2 decoder channels"),
    ],
)
def test_odd_specs_are_refused(change, word):
    with pytest.raises(ValueError, match=word):
        build_network(replace(SPEC, **change))


def test_a_sidecar_with_unknown_fields_is_refused():
    text = SPEC.to_json().replace('"encoder"', '"encoder2"')
    with pytest.raises(TypeError, match="encoder2"):
        ModelSpec.from_json(text)


def test_every_model_of_the_package_loads_and_none_is_large():
    sidecars = sorted(WEIGHTS_FOLDER.glob("*.json"))
    assert [file.stem for file in sidecars] == [file.stem for file in sorted(WEIGHTS_FOLDER.glob("*.safetensors"))]
    for sidecar in sidecars:
        spec = read_spec(sidecar.stem)
        assert sidecar.stem == spec.file_stem
        assert (WEIGHTS_FOLDER / spec.weights_name).stat().st_size < 40_000_000
        load_network(spec)
