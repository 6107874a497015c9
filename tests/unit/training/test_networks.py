import dataclasses
from pathlib import Path

import pytest
import torch

import training
from tests.unit.training.test_recipe import TEXT, read
from training import checkpoints
from training.checkpoints import StartError, load_model, load_start
from training.freezing import freeze_levels, set_modes
from training.pretrained import load_imagenet_encoder
from training.recipe import Recipe
from vision.segmenters.network import build_network, load_network, save_network
from vision.segmenters.spec import read_spec

CONFIGS = sorted((Path(training.__file__).parent / "configs").glob("*.toml"))


@pytest.fixture
def spec(tmp_path):
    return read(tmp_path, TEXT).model


@pytest.mark.parametrize("encoder", ["tu-tf_efficientnet_lite0", "tu-resnet10t", "tu-convnext_atto"])
def test_frozen_levels_keep_their_weights_in_any_encoder(spec, encoder):
    network = build_network(dataclasses.replace(spec, encoder=encoder))
    counts = []
    for level in range(6):
        freeze_levels(network, level)
        flags = [parameter.requires_grad for parameter in network.encoder.parameters()]
        assert flags == sorted(flags)  # the first ones are frozen, the rest learns
        counts.append(flags.count(False))
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert counts[2] > 0
    assert counts[5] == len(flags)
    assert all(parameter.requires_grad for parameter in network.unet.decoder.parameters())


def test_batch_norm_keeps_its_statistics_where_asked(spec):
    network = build_network(spec)
    images = torch.rand(2, 3, 32, 32) * 255
    for mode, encoder_moves, decoder_moves in (
        ("frozen", False, False),
        ("frozen-encoder", False, True),
        ("train", True, True),
    ):
        set_modes(network, mode)
        before = {key: value.clone() for key, value in network.state_dict().items() if "running_mean" in key}
        network(images)
        moved = [
            key for key, value in network.state_dict().items() if key in before and not torch.equal(value, before[key])
        ]
        assert any(".encoder." in key for key in moved) == encoder_moves
        assert any(".decoder." in key for key in moved) == decoder_moves


@pytest.mark.parametrize(
    "path", sorted((Path(training.__file__).parent / "configs").glob("*.toml")), ids=lambda p: p.stem
)
def test_every_shipped_recipe_has_a_network_with_imagenet_weights(path):
    spec = Recipe.read(path).model
    network = build_network(spec)
    load_imagenet_encoder(spec.encoder, network.backbone)
    size_bytes = sum(value.numel() * 2 for value in network.state_dict().values())
    assert size_bytes < 40_000_000


def test_a_trained_encoder_carries_another_head(spec):
    other = dataclasses.replace(spec, architecture="fcn", decoder_channels=(16,))
    network = build_network(other)
    source, said = load_start(network, "unet-fast@1")
    assert source == read_spec("unet-fast-1")
    assert said.startswith("unet-fast@1, ")
    wanted = load_network(read_spec("unet-fast-1")).encoder.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in network.encoder.state_dict().items())


def test_a_name_means_the_highest_version_by_number(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "WEIGHTS_FOLDER", tmp_path)
    tiny = dataclasses.replace(read_spec("unet-fast-1"), name="tiny", encoder="tu-resnet10t", decoder_channels=(8,) * 5)
    for version in ("2", "10", "9"):
        save_network(build_network(tiny), dataclasses.replace(tiny, version=version), tmp_path)
    assert load_model("tiny")[0].model_id == "tiny@10"
    assert load_model("tiny@2")[0].model_id == "tiny@2"
    graph = dataclasses.replace(tiny, name="graph", architecture="onnx")
    (tmp_path / "graph-2.json").write_text(graph.to_json())
    with pytest.raises(StartError, match="ONNX"):
        load_model("graph")


def test_another_encoder_is_refused(spec):
    network = build_network(dataclasses.replace(spec, encoder="tu-resnet10t"))
    with pytest.raises(StartError, match="another encoder"):
        load_start(network, "unet-fast@1")
