import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.compose import cutout, flatten

SIDES = st.integers(1, 150)


def random_parts(height, width, seed):
    rng = np.random.default_rng(seed)
    alpha = np.clip(rng.normal(0.5, 0.8, (height, width)), 0, 1).astype(np.float32)
    return rng.integers(0, 256, (height, width, 3), np.uint8), np.rint(alpha * 255) / np.float32(255)


@settings(max_examples=50, deadline=None)
@given(SIDES, SIDES, st.integers(0, 99))
def test_cutout_keeps_colours_and_hides_what_is_hidden(height, width, seed):
    foreground, alpha = random_parts(height, width, seed)
    rgba = cutout(foreground, alpha)
    np.testing.assert_array_equal(rgba[..., 3], np.rint(alpha * 255))
    shown = rgba[..., 3] > 0
    np.testing.assert_array_equal(rgba[shown][:, :3], foreground[shown])
    assert not rgba[~shown].any()


@settings(max_examples=50, deadline=None)
@given(SIDES, SIDES, st.integers(0, 99), st.tuples(*[st.integers(0, 255)] * 3))
def test_flatten_is_the_rounded_blend_and_exact_at_both_ends(height, width, seed, colour):
    foreground, alpha = random_parts(height, width, seed)
    flat = flatten(foreground, alpha, colour)
    blend = alpha[..., None].astype(np.float64) * foreground + (1 - alpha[..., None].astype(np.float64)) * np.array(
        colour
    )
    assert np.abs(flat - blend).max() <= 0.5 + 1e-3
    assert (flat[alpha == 0] == colour).all()
    np.testing.assert_array_equal(flat[alpha == 1], foreground[alpha == 1])


def test_alpha_under_half_a_step_is_hidden():
    rgba = cutout(np.full((1, 2, 3), 77, np.uint8), np.float32([[0.4 / 255, 0.6 / 255]]))
    assert rgba.tolist() == [[[0, 0, 0, 0], [77, 77, 77, 1]]]


def test_sizes_must_fit():
    with pytest.raises(ValueError, match="does not fit"):
        cutout(np.zeros((2, 3, 3), np.uint8), np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="does not fit"):
        flatten(np.zeros((2, 3, 3), np.uint8), np.zeros((3, 2), np.float32), (0, 0, 0))
