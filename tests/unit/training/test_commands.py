"""The commands as a user types them."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from tests.unit.training.data import draw_data
from tests.unit.training.test_recipe import TEXT


@pytest.fixture
def packshot(tmp_path):
    """Runs a command; `{}` is a folder with data and recipe.toml."""
    (tmp_path / "data").mkdir()
    draw_data(tmp_path / "data")
    (tmp_path / "recipe.toml").write_text(TEXT)

    def run(line):
        done = CliRunner().invoke(app, [word.format(tmp_path) for word in line.split()])
        return done.exit_code, " ".join(done.output.split())

    return run


TRAIN = "train {}/recipe.toml --data {}/data --run {}/run"


def test_a_dry_run_ends_with_a_model(packshot, tmp_path):
    code, said = packshot(f"{TRAIN} --dry-run --licence cc0,research")
    assert code == 0, said
    assert "tiny@1 is in" in said
    assert json.loads((tmp_path / "run/weights/tiny-1.json").read_text())["architecture"] == "smp-unet"
    code, said = packshot("export {}/run/best.ckpt -o {}/out --version 5")
    assert code == 0, said
    assert (tmp_path / "out/tiny-5.safetensors").is_file()


def test_the_cache_can_be_filled_beforehand(packshot, tmp_path):
    assert packshot(f"{TRAIN} --prepare --cache {{}}/cache")[0] == 0
    assert {path.name.partition("-")[0] for path in (tmp_path / "cache").iterdir()} == {"photos", "cutouts", "grounds"}
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ("--licence gpl", "gpl"),
        ("--licence permissive", "no row of the split train"),
        ("--from nothing@9", "nothing@9"),
        ("--from {}/recipe.toml", "recipe.toml"),
        ("--devices 3", "cannot be divided by 3"),
    ],
)
def test_what_cannot_be_trained_is_said_at_once(packshot, tmp_path, more, word):
    code, said = packshot(f"{TRAIN} {more}")
    assert code == 1
    assert word in said
    assert not (tmp_path / "run").exists()


def test_sources_without_photos_give_up_their_share(packshot, tmp_path):
    (tmp_path / "recipe.toml").write_text(TEXT.replace("drawn = 0.4", "elsewhere = 0.4"))
    code, said = packshot(f"{TRAIN} --dry-run")
    assert code == 0, said
    assert "no photos of elsewhere" in said


def test_no_photos_to_choose_by_is_said_before_the_run(packshot, tmp_path):
    (tmp_path / "recipe.toml").write_text(
        TEXT.replace("validation_photos", 'validation_split = "test"\nvalidation_photos')
    )
    code, said = packshot(TRAIN)
    assert code == 1
    assert "split test" in said


def test_the_sheet_shows_scenes_and_repeats(packshot, tmp_path):
    line = "synth {}/recipe.toml --data {}/data --cache {}/cache --count 6 --side-px 64 --sheet {}/"
    for name in ("one.png", "two.png"):
        code, said = packshot(line + name)
        assert code == 0, said
        assert "a second" in said
    one, two = (np.asarray(Image.open(tmp_path / name)) for name in ("one.png", "two.png"))
    assert np.array_equal(one, two)
    assert one.shape == (2 * 70, 4 * 134, 3)


def test_labels_of_an_odd_class_are_refused(packshot):
    code, said = packshot("label {}/data --out {}/out --licence-class gpl")
    assert code == 2
    assert "cc0" in said
