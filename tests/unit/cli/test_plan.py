"""What `packshot remove` takes and where it goes."""

import os
from pathlib import Path

import pytest

from cli.plan import Item, plan


def _touch(path: Path, *, at_s: float = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, (at_s, at_s))
    return path


def _names(items: list[Item], folder: Path) -> list[str]:
    return [item.output.relative_to(folder).as_posix() for item in items if item.problem is None]


def test_files_are_taken_whatever_their_name(tmp_path: Path) -> None:
    photos = [_touch(tmp_path / "in" / name) for name in ("b.jpg", "a.dat", "c")]
    assert _names(plan(photos, tmp_path / "out", "png"), tmp_path / "out") == ["b.png", "a.png", "c.png"]


def test_folders_are_searched_and_keep_their_shape(tmp_path: Path) -> None:
    for name in ("z.JPG", "a.webp", "notes.txt", "sub/a.png", "sub/deep/b.jpeg", ".hidden.png", ".git/x.png"):
        _touch(tmp_path / "in" / name)
    items = plan([tmp_path / "in"], tmp_path / "out", "webp")
    assert _names(items, tmp_path / "out") == ["a.webp", "z.webp", "sub/a.webp", "sub/deep/b.webp"]


def test_the_output_folder_is_no_input(tmp_path: Path) -> None:
    _touch(tmp_path / "a.jpg")
    _touch(tmp_path / "out" / "a.png")
    items = plan([tmp_path], tmp_path / "out", "png")
    assert [item.photo.name for item in items] == ["a.jpg"]


def test_the_second_photo_of_a_name_is_a_problem(tmp_path: Path) -> None:
    items = plan([_touch(tmp_path / "shoe.jpg"), _touch(tmp_path / "shoe.png")], tmp_path / "out", "png")
    assert items[0].problem is None
    assert "shoe.jpg becomes shoe.png already" in (items[1].problem or "")


def test_a_photo_named_twice_is_done_once(tmp_path: Path) -> None:
    photo = _touch(tmp_path / "in" / "a.jpg")
    assert len(plan([photo, photo.parent], tmp_path / "out", "png")) == 1


def test_a_photo_is_never_replaced(tmp_path: Path) -> None:
    (item,) = plan([_touch(tmp_path / "a.png")], tmp_path, "png")
    assert "would replace the photo" in (item.problem or "")


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    (item,) = plan([tmp_path / "gone.jpg"], tmp_path / "out", "png")
    assert item.problem == "there is no such file"


@pytest.mark.parametrize(("output_at_s", "is_done"), [(999, False), (1000, True), (1001, True)])
def test_done_is_an_output_that_is_not_older(tmp_path: Path, output_at_s: float, *, is_done: bool) -> None:
    photo, output = _touch(tmp_path / "a.jpg"), tmp_path / "out" / "a.png"
    assert not Item(photo, output).is_done
    _touch(output, at_s=output_at_s)
    assert Item(photo, output).is_done is is_done
