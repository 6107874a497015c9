"""`packshot remove --animated`, with a network that takes what is dark for the product."""

from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from cli.main import app as command
from config.settings import Settings
from tests.fakes import FakeSegmenter, fake_models
from worker.models import Models


@pytest.fixture
def moving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GIF whose product stands on the left at first, then on the right."""

    def load(_settings: Settings, _source: None) -> Models:
        return fake_models(FakeSegmenter())

    monkeypatch.setattr("worker.gpu.load_models", load)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("PACKSHOT_DATA_DIR", str(tmp_path / "data"))
    frames = [Image.new("RGB", (128, 96), (240, 240, 240)) for _ in range(2)]
    frames[0].paste((20, 40, 60), (8, 24, 56, 72))
    frames[1].paste((20, 40, 60), (72, 24, 120, 72))
    path = tmp_path / "moves.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def remove(photo: Path, *options: str) -> Result:
    return CliRunner().invoke(command, ["remove", str(photo), "-o", str(photo.parent / "out"), *options])


def test_an_animation_is_refused_unless_its_first_frame_is_asked_for(moving: Path) -> None:
    refused = remove(moving)
    assert (refused.exit_code, "animated_image" in refused.output) == (1, True), refused.output
    assert list((moving.parent / "out").glob("*")) == []
    taken = remove(moving, "--animated", "first_frame")
    assert taken.exit_code == 0, taken.output
    with Image.open(moving.parent / "out" / "moves.png") as cutout:
        assert cutout.size == (128, 96)
        assert [cutout.getpixel((x, 48))[3] for x in (32, 96)] == [255, 0]


def test_another_word_is_refused_before_any_work(moving: Path) -> None:
    wrong = remove(moving, "--animated", "both")
    assert (wrong.exit_code, "animated is one of" in wrong.output) == (2, True), wrong.output
    assert not (moving.parent / "out").exists()
