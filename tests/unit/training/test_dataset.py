from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import training
from tests.unit.training.data import draw_data
from tests.unit.training.test_recipe import TEXT, read
from training.dataset import VisitDataset, plan_visits
from training.manifest import read_manifest, select
from training.prepare import prepare, split_backgrounds, training_rows, validation_rows
from training.recipe import Recipe

CONFIGS = Path(training.__file__).parent / "configs"


def test_visits_follow_the_shares_and_the_seed():
    sizes = {"a": 5, "b": 20, "endless": 0}
    shares = {"a": 0.4, "b": 0.4, "endless": 0.2}
    one, other = (plan_visits(sizes, shares, 400, [1]) for _ in range(2))
    assert np.array_equal(one.groups, other.groups)
    assert np.array_equal(one.positions, other.positions)
    of_a = one.positions[one.groups == 0]
    assert 120 < len(of_a) < 200
    assert np.ptp(np.bincount(of_a)) <= 1
    assert np.array_equal(one.positions[one.groups == 2], np.arange((one.groups == 2).sum()))
    with pytest.raises(ValueError, match="'c'"):
        plan_visits({"a": 5}, {"c": 1.0}, 4, [1])


@pytest.mark.parametrize("cached", [0, 8])
def test_a_visit_does_not_depend_on_where_a_run_resumed(tmp_path, cached):
    recipe = read(tmp_path, TEXT.replace("validation_photos = 1", f"cached_scenes = {cached}"))
    rows = read_manifest(draw_data(tmp_path))
    materials = prepare(recipe, rows, tmp_path / "cache")
    whole = VisitDataset(recipe, materials, 0, 0, 16)
    resumed = VisitDataset(recipe, materials, 0, 8, 8)
    assert (len(whole), len(resumed)) == (16, 8)
    for number in range(8):
        assert all(torch.equal(one, other) for one, other in zip(whole[8 + number], resumed[number], strict=True))


def test_stores_are_named_after_what_is_in_them(tmp_path):
    recipe = read(tmp_path, TEXT)
    rows = read_manifest(draw_data(tmp_path))
    cache = tmp_path / "cache"
    prepare(recipe, rows, cache)
    made = set(cache.iterdir())
    prepare(recipe, rows, cache)
    assert set(cache.iterdir()) == made
    prepare(recipe, [row for row in rows if row.name != "photo0"], cache)
    assert len(set(cache.iterdir()) - made) == 2  # photos and cut-outs, not the grounds


def test_validation_photos_come_from_dev_or_are_held_out(tmp_path):
    rows = read_manifest(draw_data(tmp_path))
    assert [row.name for row in validation_rows(read(tmp_path, TEXT), rows)] == ["dev0"]
    text = TEXT.replace("validation_photos = 1", 'validation_photos = 2\nvalidation_split = "train"')
    recipe = read(tmp_path, text)
    held = {row.name for row in validation_rows(recipe, rows)}
    assert len(held) == 2
    assert not held & {row.name for row in training_rows(recipe, rows)}


def test_photos_that_a_person_refused_choose_nothing(tmp_path):
    text = TEXT.replace("validation_photos = 1", 'validation_photos = 4\nvalidation_split = "train"')
    recipe = read(tmp_path, text)
    rows = select(read_manifest(draw_data(tmp_path)), "train", ["drawn"])
    said = ("yes", "no", "", "")
    rows = [
        replace(row, confidence=sure, accepted=answer)
        for row, sure, answer in zip(rows, (0.1, 0.99, 0.9, 0.1), said, strict=True)
    ]
    assert {row.name for row in validation_rows(recipe, rows)} == {"photo0", "photo2"}
    drawn = [replace(row, confidence=None, accepted="no") for row in rows]
    assert not validation_rows(recipe, drawn)
    assert not training_rows(recipe, drawn)


def test_sources_may_be_left_out_of_the_choice(tmp_path):
    rows = read_manifest(draw_data(tmp_path))
    more = 'validation_photos = 4\nvalidation_split = "train"\nvalidation_without = ["drawn"]'
    assert not validation_rows(read(tmp_path, TEXT.replace("validation_photos = 1", more)), rows)


@pytest.mark.parametrize("name", ["unet-from-nothing", "unet-fast", "unet-fine"])
def test_weights_are_not_chosen_by_a_methods_own_answers(name):
    assert Recipe.read(CONFIGS / f"{name}.toml").data.validation_without == ("white-derived",)


def test_held_out_backgrounds_are_every_eighth(tmp_path):
    grounds = select(read_manifest(draw_data(tmp_path)), "backgrounds")
    train, held = split_backgrounds(grounds * 4)
    assert len(held) == len(grounds) * 4 // 8
    assert len(train) + len(held) == 36
