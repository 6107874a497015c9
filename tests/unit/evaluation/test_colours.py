import numpy as np
import pytest

from tests.images import draw
from training.evaluation.colours import BEST_PSNR, composite, edge_band, fringe, psnr, ssim
from training.evaluation.figures import FIGURES, Truth, measure_all


def test_composites():
    foreground = np.full((4, 4, 3), 100, np.uint8)
    alpha = np.full((4, 4), 0.5, np.float32)
    assert np.all(composite(foreground, alpha, 255.0) == 177.5)
    assert np.all(composite(foreground, alpha, 0.0) == 50)


def test_psnr_of_a_known_error():
    """An error of 5 levels everywhere: 20 log10(255 / 5) dB."""
    one = np.full((20, 20, 3), 100, np.float32)
    assert psnr(one, one + 5) == pytest.approx(20 * np.log10(51), abs=1e-3)
    assert psnr(one, one) == BEST_PSNR


def test_ssim_of_flat_pictures():
    """Without variance only the luminance term is left: (2ab + C1) / (a^2 + b^2 + C1), C1 = (0.01 * 255)^2."""
    one, other = np.full((32, 32, 3), 100, np.float32), np.full((32, 32, 3), 150, np.float32)
    c1 = (0.01 * 255) ** 2
    assert ssim(one, other) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), abs=1e-4)
    assert np.isnan(ssim(one[:5], other[:5]))


def test_ciede2000_of_a_published_pair():
    """Sharma, Wu and Dalal 2005, the first pair of their table, through the library that `fringe` uses."""
    from skimage.color import deltaE_ciede2000  # noqa: PLC0415

    pair = np.array([[50.0, 2.6772, -79.7751]]), np.array([[50.0, 0.0, -82.7485]])
    assert deltaE_ciede2000(*pair)[0] == pytest.approx(2.0425, abs=1e-4)


def test_fringe_sees_only_the_edge():
    white = np.full((40, 40, 3), 255, np.float32)
    truth = np.zeros((40, 40), np.float32)
    truth[10:30, 10:30] = 1
    band = edge_band(truth)
    assert band[10, 20]
    assert not band[20, 20]
    assert not band[2, 2]
    inside = white.copy()
    inside[20, 20] = 0
    assert fringe(white, inside, band) == 0
    assert fringe(white, np.where(band[..., None], 0, white).astype(np.float32), band) == pytest.approx(100, abs=0.1)
    assert np.isnan(fringe(white, white, np.zeros_like(band)))


def test_delivered_colours_beat_the_observed_ones_at_a_soft_edge():
    drawing = draw("hair", "plain", (300, 300))
    product = np.clip(np.rint(drawing.foreground), 0, 255).astype(np.uint8)
    truth = Truth(drawing.image, drawing.alpha, product)
    own = measure_all(truth, drawing.alpha, product)
    observed = measure_all(truth, drawing.alpha, None)
    assert own["fringe_black"] < 0.1 < observed["fringe_black"]
    assert own["psnr_white"] > observed["psnr_white"]


def test_every_figure_is_there_and_best_for_the_truth():
    drawing = draw("ring", "textured", (120, 160))
    best = measure_all(Truth(drawing.image, drawing.alpha), drawing.alpha, None)
    worse = measure_all(Truth(drawing.image, drawing.alpha), np.roll(drawing.alpha, 9, axis=1), None)
    assert list(best) == list(FIGURES)
    for name, figure in FIGURES.items():
        assert (best[name] > worse[name]) == figure.is_better_high, name


def test_an_empty_matte_has_figures_too():
    drawing = draw("disc", "plain", (60, 60))
    figures = measure_all(Truth(drawing.image, drawing.alpha), np.zeros_like(drawing.alpha), None)
    assert figures["iou"] == 0
    assert all(np.isfinite(value) for value in figures.values())
