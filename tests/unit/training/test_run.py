"""The whole way on drawn data: `make train-smoke` runs this file."""

from pathlib import Path

import numpy as np
import pytest
import torch

import training
from tests.unit.training.data import draw_data
from training.dataset import VisitDataset, plan_visits
from training.loop import freeze_stages, rate_at, run_phases
from training.manifest import ManifestError, load_photo, read_manifest, select
from training.metrics import measure
from training.predict import predictor
from training.prepare import photo_samples, split_backgrounds
from training.recipe import Phase, Recipe
from training.run import start, train
from training.store import Store, write_store
from vision.segmenters.network import build_network, load_network
from vision.segmenters.spec import read_spec

CONFIGS = Path(training.__file__).parent / "configs"


def _quiet(_: str) -> None:
    pass


def test_every_shipped_recipe_reads():
    for path in CONFIGS.glob("*.toml"):
        assert Recipe.read(path).total_samples > 0


def test_four_photos_are_learnt_by_heart(tmp_path):
    rows = select(read_manifest(draw_data(tmp_path)), "train", ["drawn"])
    recipe = Recipe.read(CONFIGS / "smoke.toml")
    write_store(tmp_path / "store", photo_samples(rows, recipe.data.long_side_px))
    trainer = start(recipe, tmp_path)
    losses = run_phases(recipe, trainer, [Store(tmp_path / "store")], tmp_path, _quiet)
    assert np.mean(losses[-5:]) < 0.35 * losses[0]
    predict = predictor(trainer.average, recipe.model.canvas_hw)
    for row in rows:
        image, truth = load_photo(row)
        assert measure(truth, predict(image))["iou"] > 0.9


def test_training_runs_from_nothing_resumes_and_repeats(tmp_path):
    data = draw_data(tmp_path)
    config = tmp_path / "tiny.toml"
    text = (CONFIGS / "smoke.toml").read_text().replace("samples = 320", "samples = 12")
    config.write_text(text.replace("drawn = 1.0", "drawn = 0.4, composite = 0.4, empty = 0.2"))
    folders = {"data_dir": data, "cache_dir": tmp_path / "cache", "report": _quiet}
    first = train(config, run_dir=tmp_path / "one", **folders)
    second = train(config, run_dir=tmp_path / "two", **folders)
    resumed = train(config, run_dir=tmp_path / "one", **folders)
    assert first.weights_sha256 == second.weights_sha256 == resumed.weights_sha256
    weights = tmp_path / "one" / "weights"
    assert read_spec("smoke-1", weights) == first
    assert load_network(first, weights)(torch.zeros(1, 3, 96, 96)).shape == (1, 1, 96, 96)


def test_bad_data_stops_a_run_before_it_starts(tmp_path):
    data = draw_data(tmp_path)
    (data / "train-drawn-photo1.png").unlink()
    with pytest.raises(ManifestError, match="drawn/photo1"):
        train(CONFIGS / "smoke.toml", data_dir=data, run_dir=tmp_path / "run", cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_held_out_backgrounds_are_every_eighth(tmp_path):
    backgrounds = select(read_manifest(draw_data(tmp_path)), "backgrounds")
    train, held = split_backgrounds(backgrounds * 4)
    assert (len(backgrounds), len(held), len(train)) == (9, 4, 32)


def test_visits_follow_the_shares_and_the_seed():
    groups = ["a"] * 5 + ["b"] * 20
    visits = plan_visits(groups, {"a": 0.5, "b": 0.5}, 400, [1])
    assert visits == plan_visits(groups, {"a": 0.5, "b": 0.5}, 400, [1])
    from_a = [visit for visit in visits if visit < 5]
    assert 150 < len(from_a) < 250
    assert {from_a.count(number) for number in range(5)} <= set(range(len(from_a) // 5, len(from_a) // 5 + 2))
    with pytest.raises(ValueError, match="'c'"):
        plan_visits(groups, {"c": 1.0}, 4, [1])


def test_a_visit_does_not_depend_on_where_a_run_resumed(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 4), dtype=np.uint8)
    write_store(tmp_path, [("a", pixels), ("a", pixels[::-1])])
    stores = [Store(tmp_path)]
    whole = VisitDataset(stores, [0, 1, 0, 1], 0, 5, (32, 32))
    resumed = VisitDataset(stores, [0, 1], 2, 5, (32, 32))
    assert torch.equal(whole[3][0], resumed[1][0])


def test_rate_warms_up_and_falls():
    phase = Phase("p", 64, 4000, 10, 1e-3, 1e-5, 0.3, 0, {})
    rates = [rate_at(phase, seen) for seen in (0, 200, 400, 2000, 4000)]
    assert rates[0] < rates[1] < rates[2]
    assert rates[2] > rates[3] > rates[4] == pytest.approx(1e-5)


def test_frozen_stages_keep_their_weights_and_the_others_train():
    network = build_network(Recipe.read(CONFIGS / "smoke.toml").model)
    encoder = network.unet.encoder.model
    freeze_stages(encoder, 2)
    assert not encoder.conv_stem.weight.requires_grad
    frozen = [any(each.requires_grad for each in stage.parameters()) for stage in encoder.blocks]
    assert frozen == [False, False, True, True, True, True, True]
    freeze_stages(encoder, 0)
    assert all(each.requires_grad for each in encoder.parameters())
