from pathlib import Path

import pytest

from tests.unit.training.data import draw_data
from training.recipe import Recipe
from training.run import Machines, train

TINY = Path(__file__).with_name("tiny.toml")


@pytest.fixture
def data(tmp_path):
    """A drawn data folder."""
    (tmp_path / "data").mkdir()
    return draw_data(tmp_path / "data")


@pytest.fixture
def run(tmp_path, data):
    """Trains in a folder beside the data: the tiny recipe, or another."""

    def _run(name, recipe=None, **more):
        folders = {"data_dir": data, "run_dir": tmp_path / name, "cache_dir": tmp_path / "cache"}
        report = more.pop("report", lambda _: None)
        return train(
            recipe or Recipe.read(TINY), **folders, report=report, machines=Machines(accelerator="cpu"), **more
        )

    return _run
