"""Models are found by their sidecars."""

from dataclasses import replace
from pathlib import Path

from jobs.models import Models, installed_models
from vision.segmenters.spec import ModelSpec

SPEC = ModelSpec("unet-fast", "1", "unet", "none", (8,), (64, 64), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "")


def test_sidecars_are_read(tmp_path: Path) -> None:
    for version in ("9", "10", "1"):
        (tmp_path / f"unet-fast-{version}.json").write_text(replace(SPEC, version=version).to_json())
    models = installed_models(tmp_path)
    assert [spec.version for spec in models.specs] == ["1", "9", "10"]
    assert models.names == {"unet-fast", "unet-fast@1", "unet-fast@9", "unet-fast@10"}


def test_the_default_is_the_newest_of_its_name() -> None:
    old, new = replace(SPEC, version="9"), replace(SPEC, version="10")
    models = Models((old, new))
    assert [models.is_default(spec, "unet-fast") for spec in models.specs] == [False, True]
    assert [models.is_default(spec, "unet-fast@9") for spec in models.specs] == [True, False]
    assert not models.is_default(new, "other")
