"""A run that goes on is the run that was begun, and a model tells whose photos it learnt from."""

import json
from dataclasses import replace

import pytest

from tests.unit.training.conftest import TINY
from training.checkpoints import export_checkpoint
from training.recipe import Recipe, RecipeError
from training.run import miniature, read_recipe
from vision.segmenters.spec import ModelSpec, read_spec

SHORT = replace(Recipe.read(TINY), phases=Recipe.read(TINY).phases[:1])


def fitting_unet_fast(recipe):
    return replace(recipe, model=replace(recipe.model, decoder_channels=(160, 80, 40, 24, 8)))


def test_another_recipe_does_not_go_on(tmp_path, run):
    before = run("run", SHORT)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.*")}
    cc0 = replace(SHORT, data=replace(SHORT.data, licences=("cc0",)))
    longer = replace(SHORT, phases=(replace(SHORT.phases[0], samples=32),))
    for other, word in (
        (cc0, r"data\.licences was .*research.*, now is \[\"cc0\"\]"),
        (replace(SHORT, seed=4), "seed was 3, now is 4"),
        (longer, r"phase decoder\.samples was 16, now is 32"),
        (Recipe.read(TINY), "phase whole"),
        (miniature(SHORT), "epoch_samples was 8, now is 2"),
    ):
        with pytest.raises(RecipeError, match=word):
            run("run", other)
    with pytest.raises(RecipeError, match="started from nothing, now from unet-fast@1"):
        run("run", SHORT, start_from="unet-fast@1")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.*")} == files
    assert run("run", replace(SHORT, threads=2, loader_workers=1)) == before


def test_other_photos_do_not_go_on(data, run):
    run("run", SHORT)
    table = (data / "manifest.csv").read_text()
    (data / "manifest.csv").write_text("".join(line for line in table.splitlines(True) if "photo3" not in line))
    with pytest.raises(RecipeError, match="photos of train/drawn"):
        run("run", SHORT)


def test_a_run_that_nothing_tells_of_does_not_go_on(tmp_path, run):
    run("run", SHORT)
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(RecipeError, match=r"run\.json"):
        run("run", SHORT)


def test_a_model_tells_what_it_learnt_from(tmp_path, run):
    assert run("all", SHORT).learnt_from == ("cc0", "research")
    assert run("cc0", replace(SHORT, data=replace(SHORT.data, licences=("cc0",)))).learnt_from == ("cc0",)
    started = run("more", SHORT, start_from=str(tmp_path / "cc0" / "best.ckpt"))
    assert started.learnt_from == ("cc0", "research")
    assert run("more", SHORT).learnt_from == ("cc0", "research")
    exported = export_checkpoint(tmp_path / "more" / "best.ckpt", tmp_path / "out")
    assert read_spec(exported.file_stem, tmp_path / "out").learnt_from == ("cc0", "research")


def test_a_restricted_run_does_not_inherit_in_silence(tmp_path, run):
    recipe = fitting_unet_fast(read_recipe(TINY, "cc0"))
    recipe = replace(recipe, phases=recipe.phases[:1])
    with pytest.raises(RecipeError, match=r"unet-fast@1 learnt from .*unknown"):
        run("run", recipe, start_from="unet-fast@1")
    assert not (tmp_path / "run").exists()
    said = []
    spec = run("run", recipe, start_from="unet-fast@1", inherit_licences=True, report=said.append)
    assert spec.learnt_from == ("cc0", "unknown")
    assert any("cc0, unknown" in line for line in said)


def test_an_old_sidecar_is_of_unknown_licences():
    fields = json.loads(read_spec("unet-fast-1").to_json())
    fields.pop("learnt_from", None)
    assert ModelSpec.from_json(json.dumps(fields)).learnt_from == ("unknown",)
    new = replace(read_spec("unet-fast-1"), learnt_from=("cc0", "nc"))
    assert ModelSpec.from_json(new.to_json()) == new


def test_a_recipe_cannot_claim_what_is_found_out(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(TINY.read_text().replace('version = "1"', 'version = "1"\nlearnt_from = ["cc0"]'))
    with pytest.raises(RecipeError, match="learnt_from"):
        Recipe.read(path)
