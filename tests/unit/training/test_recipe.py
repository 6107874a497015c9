from pathlib import Path

import pytest

from training.recipe import Recipe, RecipeError
from training.task import rates_at

TEXT = Path(__file__).with_name("tiny.toml").read_text()


def read(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return Recipe.read(path)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("seed = 3", "seeed = 3", "seeed"),
        ("seed = 3", 'seed = "three"', "seed"),
        ("seed = 3", "seed = 3\npatience = 2", None),
        ("canvas_px = 32", "canvas_px = 33", "multiple of 32"),
        ("batch = 4", "batch = 40", "batch 40"),
        ("validation_photos = 1", 'licences = ["gpl"]', "licences"),
        ('version = "1"', 'version = "1"\ncolour = 2', "colour"),
        ('name = "whole"', 'name = "decoder"', "name of its own"),
        ("[[phase]]", "[[phase", "recipe.toml"),
        ("shares = { drawn = 0.4, composite = 0.4, empty = 0.2 }", "shares = {}", "shares"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, old, new, word):
    text = TEXT.replace(old, new)
    if word is None:
        assert read(tmp_path, text).patience == 2
        return
    with pytest.raises(RecipeError, match=word):
        read(tmp_path, text)


def test_patience_needs_photos_to_judge_by(tmp_path):
    with pytest.raises(RecipeError, match="validation_photos"):
        read(tmp_path, TEXT.replace("validation_photos = 1", "").replace("seed = 3", "seed = 3\npatience = 2"))


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_rates_warm_up_and_fall_in_each_phase(tmp_path, schedule):
    text = TEXT.replace("samples = 16", "samples = 400").replace("seed = 3", f'seed = 3\nschedule = "{schedule}"')
    recipe = read(tmp_path, text)
    rates = [rates_at(recipe, step)[1] for step in range(200)]
    assert rates[0] < rates[1] == pytest.approx(2e-3, rel=0.01)
    assert rates[1] > rates[50] > rates[99] == pytest.approx(1e-3, rel=0.02)
    assert rates[100] < rates[101] == pytest.approx(1e-3, rel=0.02)
    assert rates[199] == pytest.approx(1e-4, rel=0.1)
    encoder, decoder = rates_at(recipe, 150)
    assert encoder == pytest.approx(0.3 * decoder)
