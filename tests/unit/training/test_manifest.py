import csv

import numpy as np
import pytest
from PIL import Image

from tests.unit.training.data import draw_data
from training.manifest import ManifestError, check_rows, load_photo, read_manifest, select, shrink


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
