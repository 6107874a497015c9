import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.images import compose, draw, plain
from vision.compose import flatten
from vision.foreground import estimate_foreground


def band_error(drawing, colours):
    """Mean error of the colours over the band, weighted by how much they show."""
    band = (drawing.alpha > 0.02) & (drawing.alpha < 0.98)
    weight = drawing.alpha[band][:, None]
    return float((np.abs(colours[band] - drawing.foreground[band]) * weight).sum() / weight.sum() / 3)


@pytest.mark.parametrize("ground", ["plain", "white", "textured"])
@pytest.mark.parametrize(("shape", "most"), [("disc", 0.25), ("wires", 0.25), ("hair", 0.35)])
def test_band_colours_are_far_nearer_to_the_product_than_the_photo(shape, ground, most):
    drawing = draw(shape, ground, (600, 800))
    estimated = estimate_foreground(drawing.image, drawing.alpha)
    assert band_error(drawing, estimated) < most * band_error(drawing, drawing.image)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255)])
def test_no_fringe_of_the_old_background_over_black_or_white(colour):
    """Mean colour difference to the exact composite; L1 over three channels of 255."""
    drawing = draw("disc", "white" if colour == (0, 0, 0) else "plain", (600, 800))
    exact = drawing.alpha[..., None] * drawing.foreground + (1 - drawing.alpha[..., None]) * np.array(colour)
    band = (drawing.alpha > 0) & (drawing.alpha < 1)

    def fringe(colours):
        return np.abs(flatten(colours, drawing.alpha, colour)[band] - exact[band]).mean()

    assert fringe(estimate_foreground(drawing.image, drawing.alpha)) < 4
    assert fringe(drawing.image) > 8


def test_pixels_outside_of_the_band_are_the_photos():
    drawing = draw("ring", "textured", (301, 403))
    estimated = estimate_foreground(drawing.image, drawing.alpha)
    solid = (drawing.alpha == 0) | (drawing.alpha == 1)
    np.testing.assert_array_equal(estimated[solid], drawing.image[solid])


def test_colours_laid_over_the_background_give_the_photo_again():
    hw = (240, 320)
    drawing = compose(draw("disc", "plain", hw).alpha, plain(hw, (40, 90, 160)), plain(hw, (220, 210, 200)), noise=0)
    colours = estimate_foreground(drawing.image, drawing.alpha)
    again = drawing.alpha[..., None] * colours + (1 - drawing.alpha[..., None]) * drawing.background
    assert np.abs(again - drawing.image).max() < 6


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 9))
def test_any_size_and_any_alpha(height, width, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    before = image.copy()
    alpha = np.clip(rng.normal(0.5, 1, (height, width)), 0, 1).astype(np.float32)
    assert estimate_foreground(image, alpha).shape == image.shape
    np.testing.assert_array_equal(image, before)
