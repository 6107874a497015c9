import csv

import numpy as np
import pytest
from PIL import Image

from tests.unit.training.data import disc, draw_data
from tests.unit.training.test_recipe import TEXT, read
from training.checkpoints import StartError
from training.label import label_folder, pseudo_label
from training.manifest import check_rows, load_photo, read_manifest
from training.prepare import training_rows


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Two photos with a disc, one without a product, one broken file, labelled by the installed model."""
    folder = tmp_path_factory.mktemp("label")
    photos = folder / "photos" / "more"
    photos.mkdir(parents=True)
    for number in range(2):
        Image.fromarray(disc(160, (200, 30, 40), (0.5, 0.4 + 0.1 * number), 0.25)[0]).save(photos / f"disc{number}.png")
    Image.fromarray(np.full((80, 80, 3), 200, np.uint8)).save(photos / "plain.png")
    (photos / "broken.jpg").write_bytes(b"no picture")
    said = []
    counts = label_folder(folder / "photos", folder / "out", "unet-fast@1", "cc0", said.append)
    return folder / "out", counts, said


def test_a_folder_becomes_a_data_folder(labelled):
    out, counts, said = labelled
    assert (counts.labelled, counts.refused) == (2, 2)
    assert len(said) == 2
    rows = read_manifest(out)
    check_rows(rows)
    assert {row.name for row in rows} == {"more/disc0.png", "more/disc1.png"}
    assert all(row.licence_class == "cc0" and 0.5 < row.confidence <= 1 for row in rows)
    assert [row.confidence for row in rows] == sorted(row.confidence for row in rows)


def test_a_person_or_the_confidence_decides(labelled, tmp_path):
    out, _, _ = labelled
    lines = rows_of(out)
    lines[0] |= {"confidence": "0.1", "accepted": "yes"}
    lines[1] |= {"confidence": "0.1"}
    lines.append({**lines[1], "name": "sure", "confidence": "0.9"})
    lines.append({**lines[1], "name": "refused", "confidence": "0.9", "accepted": "No"})
    write_rows(out, lines)
    recipe = read(tmp_path, TEXT.replace("validation_photos = 1", "min_confidence = 0.5"))
    kept = {row.name for row in training_rows(recipe, read_manifest(out))}
    assert kept == {lines[0]["name"], "sure"}


def test_photos_of_one_stem_and_a_persons_answers_stay_apart(tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    (photos / "a").mkdir(parents=True)
    for number, name in enumerate(("shoe.png", "shoe.jpg", "a/b.png", "a-b.png", "gone.png")):
        Image.fromarray(disc(96, (200, 40 * number, 40), (0.5, 0.5), 0.3)[0]).save(photos / name, quality=95)
    said = []
    label_folder(photos, out, "unet-fast@1", "cc0", said.append)
    table = rows_of(out)
    assert len(table) == 5
    rows = {row.name: row for row in read_manifest(out)}
    assert len({row.image for row in rows.values()}) == 5
    for name in ("shoe.png", "shoe.jpg", "a/b.png", "a-b.png"):
        assert np.abs(load_photo(rows[name])[0].astype(int) - np.asarray(Image.open(photos / name))).max() < 3
    for row in table:
        row["accepted"] = {"shoe.png": "yes", "shoe.jpg": "no", "gone.png": "Yes"}.get(row["name"], "")
    drawn = {**table[0], "source": "drawn", "name": "mine", "accepted": "", "foreground": "mine.png"}
    write_rows(out, [*table, drawn])
    for name in ("gone.png", "a-b.png"):
        (photos / name).unlink()
    label_folder(photos, out, "unet-fast@2", "cc0", said.append)
    after = {row["name"]: row for row in rows_of(out)}
    assert {name: row["accepted"] for name, row in after.items()} == {
        "shoe.png": "yes",
        "shoe.jpg": "no",
        "gone.png": "Yes",
        "a/b.png": "",
        "mine": "",
    }
    assert after["shoe.png"]["licence"] == "pseudo-label of unet-fast@1"
    assert after["a/b.png"]["licence"] == "pseudo-label of unet-fast@2"
    assert after["mine"]["foreground"] == "mine.png"
    assert said == ["3 rows that somebody answered stay as they are"]


def rows_of(out):
    with (out / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_rows(out, rows):
    with (out / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(name for row in rows for name in row), restval="")
        writer.writeheader()
        writer.writerows(rows)


def test_views_that_disagree_are_doubted():
    class Left:
        """Sees product on the left half, whatever it is shown."""

        def __call__(self, images):
            logits = images[:, :1] * 0 - 8
            logits[..., : logits.shape[-1] // 2] = 8
            return logits

    alpha, confidence = pseudo_label(Left(), (64, 64), np.zeros((64, 64, 3), np.uint8))
    assert confidence < 0.01
    assert alpha == pytest.approx(0.5, abs=0.01)


def test_there_must_be_a_model(tmp_path):
    with pytest.raises(StartError, match="nothing@9"):
        label_folder(draw_data(tmp_path), tmp_path / "out", "nothing@9", "cc0", print)
