"""The literature's errors against cases worked by hand."""

import numpy as np
import pytest

from training.evaluation.matting import conn, dice, grad, mse, s_measure, sad


@pytest.fixture
def square():
    alpha = np.zeros((100, 100), np.float32)
    alpha[20:80, 20:80] = 1
    return alpha


def test_the_truth_itself_has_no_error(square):
    mask = square > 0.5
    assert sad(square, square) == mse(square, square) == grad(square, square) == conn(square, square) == 0
    assert dice(mask, mask) == 1
    assert s_measure(mask, square) == pytest.approx(1, abs=1e-6)


def test_sad_and_mse_of_a_known_difference(square):
    faint = square * np.float32(0.5)
    assert sad(square, faint) == pytest.approx(3600 * 0.5 / 1000)
    assert mse(square, faint) == pytest.approx(0.36 * 0.25)


def test_dice_of_a_shifted_square(square):
    assert dice(square > 0.5, np.roll(square, 30, axis=1) > 0.5) == pytest.approx(0.5)
    empty = np.zeros((5, 5), np.bool_)
    assert dice(empty, empty) == 1


def test_grad_of_a_lost_step_edge():
    """Each row holds the sum of the squared step response of the unit-norm filter.

    Along an edge it is the Gaussian itself over the norms of Gaussian and derivative, so the sum is their ratio:
    (1 / (2 s sqrt(pi))) / ((1 / (2 s sqrt(pi))) * (1 / (4 s^3 sqrt(pi)))) = 4 s^3 sqrt(pi), 19.45 for s = 1.4.
    """
    truth = np.zeros((50, 200), np.float32)
    truth[:, 100:] = 1
    expected = 50 * 4 * 1.4**3 * np.sqrt(np.pi) / 1000
    assert grad(truth, np.zeros_like(truth)) == pytest.approx(expected, rel=0.05)


def test_grad_is_blind_to_a_faint_flat_error(square):
    assert grad(square, np.clip(square + np.float32(0.1), 0, 1)) < grad(square, np.roll(square, 2, axis=1))


def test_conn_counts_an_island_that_hangs_on_nothing(square):
    """phi is 1 - alpha on the island of the prediction and 1 in the truth: 25 pixels of 1."""
    island = square.copy()
    island[5:10, 5:10] = 1
    assert conn(square, island) == pytest.approx(25 / 1000)


def test_conn_of_a_hole_in_steps(square):
    """Lost pixels: the truth stands 1 above the connected part there, the prediction 0."""
    holed = square.copy()
    holed[40:50, 40:50] = 0
    assert conn(square, holed) == pytest.approx(100 / 1000)


def test_conn_forgives_what_is_within_theta(square):
    slightly = square.copy()
    slightly[5:10, 5:10] = 0.14
    assert conn(square, slightly) == 0
