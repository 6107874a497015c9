"""`make train-smoke`: from four drawn photos to a model that knows them by heart."""

import time
from pathlib import Path

import training
from training.manifest import load_photo, read_manifest, select
from training.metrics import measure
from training.recipe import Recipe
from vision.segmenters.unet import UnetSegmenter

SMOKE = Path(training.__file__).parent / "configs" / "smoke.toml"
LIMIT_S = 60
"""Of the processor: other work on the machine does not count."""


def test_four_photos_are_learnt_by_heart(tmp_path, data, run):
    began = time.process_time()
    spec = run("smoke", Recipe.read(SMOKE))
    took_s = time.process_time() - began
    segmenter = UnetSegmenter.load(spec, folder=tmp_path / "smoke" / "weights", runtime="torch-cpu")
    for row in select(read_manifest(data), "train", ["drawn"]):
        image, truth = load_photo(row)
        assert measure(truth, segmenter.segment([image])[0])["iou"] > 0.9
    assert took_s < LIMIT_S
