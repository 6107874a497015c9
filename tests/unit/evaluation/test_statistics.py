"""Intervals, slices, the gate and the calibration."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.images import disc, draw, wires
from training.evaluation.bootstrap import interval, paired
from training.evaluation.calibration import (
    GROUPS,
    CalibrationError,
    Sample,
    calibrate,
    verdict_of,
    wilson,
)
from training.evaluation.gate import GateError, falls, read
from training.evaluation.slices import contrast, slices_of, thin_share
from training.evaluation.summary import SCHEMA
from training.manifest import Row
from vision.calibration import Calibration


def test_an_interval_holds_the_mean_and_narrows_with_n():
    few, many = interval([0.4, 0.6] * 5), interval([0.4, 0.6] * 500)
    assert few.mean == pytest.approx(0.5)
    assert few.low < few.mean < few.high
    assert many.high - many.low < few.high - few.low
    # The normal approximation: 1.96 * 0.1 / sqrt(1000) on either side.
    assert many.high - many.mean == pytest.approx(1.96 * 0.1 / np.sqrt(1000), rel=0.1)


def test_undefined_figures_are_left_out():
    assert interval([0.5, float("nan")]).n == 1
    assert np.isnan(interval([float("nan")]).mean)


def test_a_paired_difference_is_found_where_single_intervals_overlap():
    rng = np.random.default_rng(0)
    theirs = rng.uniform(0.2, 1.0, 40)
    ours = theirs + 0.01
    assert interval(ours).low < interval(theirs).high
    assert paired(ours, theirs, is_better_high=True)[1] == "win"
    assert paired(ours, theirs, is_better_high=False)[1] == "loss"
    assert paired(theirs, theirs, is_better_high=True)[1] == "tie"
    assert paired(ours[:5], theirs[:5], is_better_high=True)[1] == "tie", "too few photos to tell"
    assert paired(ours[:6], theirs[:6], is_better_high=True)[1] == "win"


def test_wilson_of_a_published_case():
    """Newcombe 1998, table I: 81 of 263 is 0.2553 to 0.3662."""
    share = wilson(81, 263)
    assert (share.low, share.high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0, 1)


def test_slices():
    row = Row("dev", "drawn", "a", "product", Path("a"), Path("b"), "cc0")
    drawing = draw("disc", "white", (200, 200))
    found = slices_of(row, drawing.image, drawing.alpha)
    assert found == {
        "source": "drawn",
        "category": "product",
        "contrast": "high",
        "thin parts": "few",
        "size": "middle",
    }
    fan, solid = wires((600, 600)) < 0, disc((600, 600)) < 0
    assert thin_share(fan) > thin_share(solid)
    assert thin_share(np.zeros((9, 9), np.bool_)) == 0
    assert contrast(drawing.image, np.zeros((200, 200), np.bool_)) == 0


def _report(iou: float, n: int = 3) -> dict[str, object]:
    figure = {name: {"n": n, "mean": iou, "low": 0.0, "high": 1.0} for name in ("iou", "biou", "wf")}
    figure["mae"] = {"n": n, "mean": None, "low": None, "high": None}
    part = {"n": n, "figures": {"network": figure, "product": figure}}
    return {"schema": SCHEMA, "slices": {"source": {"room": part}}}


def test_the_gate_shuts_when_a_slice_drops():
    assert falls(_report(0.9), _report(0.9)) == []
    assert falls(_report(0.9), _report(0.95)) == []
    assert falls(_report(0.9), _report(0.89), tolerance=0.02) == []
    fallen = falls(_report(0.9), _report(0.8))
    assert "source room: IoU of the network from 0.9000 to 0.8000" in fallen
    assert len(fallen) == 6


def test_the_gate_does_not_open_for_lost_photos():
    with pytest.raises(GateError, match="3 photos in the baseline, 2"):
        falls(_report(0.9), _report(0.9, n=2))


@pytest.mark.parametrize(
    "text", ["no JSON", "[]", "{}", '{"schema": "packshot-evaluation-1"}', f'{{"schema": "{SCHEMA}", "slices": {{}}}}']
)
def test_a_gate_that_is_no_report_is_told(tmp_path, text):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(GateError, match=r"report\.json is no"):
        read(path)


def test_a_gate_is_a_whole_report(tmp_path):
    path = tmp_path / "report.json"
    report = _report(0.9)
    path.write_text(json.dumps(report))
    assert read(path) == report
    del report["slices"]["source"]["room"]["figures"]["product"]["biou"]
    path.write_text(json.dumps(report))
    with pytest.raises(GateError, match="no whole report"):
        read(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(GateError, match="is no report"):
        read(path)


def _samples(count: int = 200) -> list[Sample]:
    """Photos whose chance of a good cutout is their confidence, and empty ones with little of it."""
    rng = np.random.default_rng(3)
    samples = []
    for number in range(count):
        confidence = float(rng.uniform(0.3, 1))
        iou = 0.95 if rng.random() < confidence else float(rng.uniform(0.4, 0.85))
        samples.append(Sample(f"photo{number}", "drawn", confidence, iou))
    return [*samples, *(Sample(f"empty{n}", "room", float(rng.uniform(0, 0.25)), None) for n in range(40))]


def test_a_calibrated_score_is_the_share_of_good_cutouts():
    made, reliability = calibrate(_samples(600))
    assert (made.photos, made.empties) == (600, 40)
    assert made.score(0.6) == pytest.approx(0.6, abs=0.08)
    assert made.score(0.9) == pytest.approx(0.9, abs=0.06)
    assert reliability.expected_calibration_error < 0.08
    assert 0 < made.fail_below < made.review_below <= 1
    assert verdict_of(made, made.score(0.05)) == "fail"
    assert sum(sum(row.values()) for row in reliability.counts.values()) == 640
    assert reliability.counts["fail"][GROUPS[4]] > 35
    assert reliability.empties_failed.n == 40


def test_too_few_photos_bear_no_calibration():
    with pytest.raises(CalibrationError, match="0 without a product"):
        calibrate([s for s in _samples() if s.iou is not None])


def test_a_calibration_survives_its_sidecar_and_refuses_nonsense():
    made = Calibration(2.0, -1.0, 0.6, 0.1, 100, 20)
    assert Calibration.from_json(made.to_json()) == made
    assert 0 < made.score(0.0) < made.score(0.5) < made.score(1.0) < 1
    with pytest.raises(ValueError, match="must rise"):
        Calibration.from_json(replace(made, fail_below=0.7).to_json())
    with pytest.raises(TypeError):
        Calibration.from_json({"slope": 1.0})
