"""The whole way on drawn data: killed, resumed, restricted, started from another model."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback

import training
from tests.unit.training.conftest import TINY
from training.checkpoints import export_checkpoint, read_checkpoint
from training.manifest import ManifestError
from training.pretrained import load_imagenet_encoder
from training.recipe import Recipe, RecipeError
from training.run import Machines, read_recipe, train
from vision.segmenters.network import build_network, load_network
from vision.segmenters.spec import WEIGHTS_FOLDER, read_spec

CONFIGS = Path(training.__file__).parent / "configs"


class KilledError(Exception):
    pass


class KillAt(Callback):
    """The process dies in the middle of an epoch."""

    def __init__(self, step):
        self._step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self._step:
            raise KilledError


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_reads(path):
    assert Recipe.read(path).phases


def test_a_run_killed_in_the_middle_ends_with_the_same_weights(tmp_path, run):
    whole = run("whole")
    for step in (1, 5):
        with pytest.raises(KilledError):
            run("killed", watchers=[KillAt(step)])
    resumed = run("killed")
    assert resumed.weights_sha256 == whole.weights_sha256
    one, other = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "killed"))
    assert one["global_step"] == other["global_step"] == 8
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(one[part][key], other[part][key]) for key in one[part])
    again = run("killed")
    assert again.weights_sha256 == whole.weights_sha256
    weights = tmp_path / "whole" / "weights"
    assert read_spec("tiny-1", weights) == whole
    assert list((tmp_path / "whole" / "tensorboard").glob("events.*"))
    exported = export_checkpoint(tmp_path / "killed" / "last.ckpt", tmp_path / "out", version="7")
    assert exported.model_id == "tiny@7"
    load_network(exported, tmp_path / "out")


def test_a_frozen_phase_leaves_the_encoder_as_it_was(tmp_path, run):
    recipe = Recipe.read(TINY)
    run("frozen", replace(recipe, phases=recipe.phases[:1]))
    start = imagenet_start()
    _, state = read_checkpoint(tmp_path / "frozen" / "last.ckpt")
    moved = [key for key, value in start.items() if not torch.equal(value, state[key])]
    assert not [key for key in moved if key.startswith("unet.encoder.")]


def imagenet_start():
    network = build_network(Recipe.read(TINY).model)
    load_imagenet_encoder("tu-tf_efficientnet_lite0", network.backbone)
    return {key: value for key, value in network.state_dict().items() if key.startswith("unet.encoder.")}


def test_a_run_starts_from_an_installed_model(tmp_path, run):
    recipe = Recipe.read(TINY)
    fine = replace(
        recipe,
        model=replace(recipe.model, decoder_channels=(160, 80, 40, 24, 8)),
        phases=(replace(recipe.phases[0], lr_start=1e-9, lr_end=1e-9, samples=8),),
    )
    run("from", fine, start_from="unet-fast@1")
    installed = load_network(read_spec("unet-fast-1"), WEIGHTS_FOLDER).state_dict()
    _, state = read_checkpoint(tmp_path / "from" / "last.ckpt")
    name = "unet.segmentation_head.0.weight"
    assert torch.allclose(state[name], installed[name], atol=1e-6)


def test_bad_data_stops_a_run_before_it_starts(tmp_path, data, run):
    (data / "train-drawn-photo1.png").unlink()
    with pytest.raises(ManifestError, match="drawn/photo1"):
        run("bad")
    assert not (tmp_path / "cache").exists()


def test_licences_restrict_a_run(run):
    recipe = read_recipe(TINY, "cc0, permissive")
    assert recipe.data.licences == ("cc0", "permissive")
    with pytest.raises(RecipeError, match="gpl"):
        read_recipe(TINY, "gpl")
    with pytest.raises(ManifestError, match="licences permissive"):
        run("none", read_recipe(TINY, "permissive"))


def test_a_batch_must_be_divisible_among_processes(tmp_path, data):
    with pytest.raises(RecipeError, match="3 processes"):
        train(Recipe.read(TINY), data_dir=data, run_dir=tmp_path, cache_dir=tmp_path, machines=Machines(devices=3))
