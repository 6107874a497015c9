import numpy as np
import pytest

from training.metrics import boundary_iou, measure, summarise


@pytest.fixture
def square():
    alpha = np.zeros((100, 100), np.float32)
    alpha[20:80, 20:80] = 1
    return alpha


def test_the_truth_itself_scores_best(square):
    figures = measure(square, square)
    assert figures["iou"] == figures["biou"] == 1
    assert figures["mae"] == figures["grad_mse"] == 0
    assert figures["wf"] == pytest.approx(1, abs=1e-4)


def test_iou_of_a_shifted_square_is_known(square):
    figures = measure(square, np.roll(square, 30, axis=1))
    assert figures["iou"] == pytest.approx(1 / 3)
    assert figures["mae"] == pytest.approx(0.36)


def test_the_boundary_counts_errors_that_area_hides(square):
    grown = np.zeros_like(square)
    grown[18:82, 18:82] = 1
    assert measure(square, grown)["iou"] > 0.85
    assert boundary_iou(square > 0.5, grown > 0.5) < 0.05


def test_boundary_iou_of_cases_worked_by_hand():
    # 300 x 400 px: the diagonal is 500, the band 5 px wide.
    def centred(side: int) -> np.ndarray:
        mask = np.zeros((300, 400), np.bool_)
        mask[150 - side // 2 : 150 + side // 2, 200 - side // 2 : 200 + side // 2] = True
        return mask

    truth = centred(100)
    # Bands at 0 to 5 and 3 to 8 px from the truth's outline.
    assert boundary_iou(truth, centred(94)) == pytest.approx((94**2 - 90**2) / (100**2 - 84**2))
    assert boundary_iou(truth, centred(90)) == 0, "bands that only touch"
    # 100 x 100 px: a band of 1 px. Rings of 236 px, one row apart, share 59 px of two sides.
    ring = np.zeros((100, 100), np.bool_)
    ring[20:80, 20:80] = True
    assert boundary_iou(ring, np.roll(ring, 1, axis=0)) == pytest.approx(118 / 354)
    # The frame is an outline: of 396 and 394 px, 296 are shared.
    full, cut = np.ones((100, 100), np.bool_), np.ones((100, 100), np.bool_)
    cut[:, 0] = False
    assert boundary_iou(full, cut) == pytest.approx(296 / 494)


def test_a_product_cut_off_by_the_frame_has_an_outline_there():
    whole = np.ones((50, 50), np.bool_)
    assert boundary_iou(whole, whole) == 1
    part = whole.copy()
    part[0] = False
    assert boundary_iou(whole, part) < 1


def test_empty_truth_and_empty_matte_agree():
    empty = np.zeros((20, 20), np.float32)
    figures = measure(empty, empty)
    assert figures["iou"] == 1
    assert np.isnan(figures["wf"])


def test_summary_counts_failures(square):
    rows = [measure(square, square), measure(square, np.roll(square, 30, axis=1))]
    summary = summarise(rows)
    assert (summary["n"], summary["under_08"]) == (2, 1)
    assert summary["iou"] == pytest.approx(2 / 3)
