import csv
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.unit.training.data import draw_data
from training.manifest import ManifestError, check_rows, load_foreground, load_photo, read_manifest, select, shrink


def test_rows_are_filtered_by_licence_class(tmp_path):
    draw_data(tmp_path)
    assert {row.source for row in read_manifest(tmp_path, ["cc0"])} == {"drawn"}
    assert len(read_manifest(tmp_path)) == 16


def test_an_unknown_licence_class_is_named(tmp_path):
    with pytest.raises(ManifestError, match="proprietary"):
        read_manifest(draw_data(tmp_path), ["proprietary"])


def test_sound_data_passes(tmp_path):
    check_rows(read_manifest(draw_data(tmp_path)))


def test_every_bad_row_is_named_before_anything_is_computed(tmp_path):
    rows = select(read_manifest(draw_data(tmp_path)), "train", ["drawn"])
    rows[0].image.unlink()
    Image.new("L", (10, 20), 255).save(rows[1].mask)
    Image.new("L", (96, 96), 0).save(rows[2].mask)
    with pytest.raises(ManifestError) as caught:
        check_rows(rows)
    message = str(caught.value)
    assert "3 bad rows" in message
    assert "drawn/photo0: " in message
    assert "is missing" in message
    assert "drawn/photo1: image is 96x96 px, mask 10x20" in message
    assert "drawn/photo2: the mask is empty" in message
    assert "photo3" not in message


def test_files_that_cannot_be_read_are_named_too(tmp_path):
    all_rows = read_manifest(draw_data(tmp_path))
    rows = select(all_rows, "train", ["drawn"])
    ground, other_ground, *_ = select(all_rows, "backgrounds")
    rows[0].image.write_bytes(b"")
    Image.open(rows[1].image).save(tmp_path / "whole.jpg", quality=95)
    whole = (tmp_path / "whole.jpg").read_bytes()
    rows[1].image.write_bytes(whole[: len(whole) // 2])
    Image.new("RGBA", (96, 96), (0, 0, 0, 255)).save(rows[2].mask)
    ground.image.write_bytes(b"no picture")
    opaque = replace(rows[3], mask=rows[3].image)
    with pytest.raises(ManifestError) as caught:
        check_rows([*rows[:3], ground, other_ground, opaque])
    assert "5 bad rows" in str(caught.value)
    for start in (
        f"drawn/photo0: {rows[0].image}: ",
        f"drawn/photo1: {rows[1].image}: ",
        "drawn/photo2: the mask is empty",
        f"{ground.source}/{ground.name}: {ground.image}: ",
        "drawn/photo3: the image has no transparency",
    ):
        assert f"\n{start}" in str(caught.value)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "P"])
def test_masks_of_every_kind_are_read_alike(tmp_path, mode):
    grey = Image.new("L", (96, 96), 0)
    grey.paste(255, (30, 40, 60, 70))
    (row, *_) = select(read_manifest(draw_data(tmp_path)), "train", ["drawn"])
    mask = Image.new("RGBA", grey.size, "white")
    mask.putalpha(grey)
    (mask if mode == "RGBA" else grey.convert(mode)).save(row.mask)
    assert np.array_equal(load_photo(row)[1], np.asarray(grey) / np.float32(255))


@pytest.mark.parametrize("own_alpha", [False, True])
def test_photos_stand_upright(tmp_path, own_alpha):
    """EXIF's 6 is: turn it clockwise to see it. The mask was drawn on what one sees."""
    (row, *_) = select(read_manifest(draw_data(tmp_path)), "train", ["drawn"])
    upright = np.zeros((60, 40, 4), np.uint8)
    upright[:20, :10] = (250, 10, 20, 255)
    upright[..., 3] = 255 * (upright[..., 0] > 0) if own_alpha else 255
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.fromarray(upright).rotate(90, expand=True)
    (lying if own_alpha else lying.convert("RGB")).save(row.image, exif=exif)
    Image.fromarray(np.where(upright[..., 0] > 0, 255, 0).astype(np.uint8)).save(row.mask)
    row = replace(row, mask=row.image, foreground=None) if own_alpha else replace(row, foreground=row.image)
    check_rows([row])
    image, alpha = load_photo(row)
    assert np.array_equal(image, upright[..., :3])
    assert np.array_equal(alpha > 0, upright[..., 0] > 0)
    assert np.array_equal(load_foreground(row), image)


def test_a_cutouts_own_alpha_is_its_mask(tmp_path):
    (row, *_) = select(read_manifest(draw_data(tmp_path)), "train", ["rgba-products"])
    image, alpha = load_photo(row)
    assert image.shape == (80, 80, 3)
    assert alpha.dtype == np.float32
    assert (alpha[40, 40], alpha[0, 0]) == (1.0, 0.0)


def test_a_background_has_an_empty_alpha(tmp_path):
    (row, *_) = select(read_manifest(draw_data(tmp_path)), "backgrounds")
    image, alpha = load_photo(row)
    assert alpha.shape == image.shape[:2]
    assert not alpha.any()


def test_a_missing_column_is_an_error(tmp_path):
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["split", "source"], ["train", "x"]])
    with pytest.raises(KeyError):
        read_manifest(tmp_path)


def test_shrink_keeps_the_aspect_and_never_enlarges():
    image = np.zeros((100, 40, 3), np.uint8)
    assert shrink(image, 50).shape == (50, 20, 3)
    assert shrink(image, 200) is image
