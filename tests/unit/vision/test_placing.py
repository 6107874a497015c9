"""Scaling and laying out keep edges clean and sizes exact."""

import numpy as np
import pytest

from vision.frame import Frame, Size, place
from vision.placing import apply

RED = (200, 30, 40)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A red square on what is hidden green, with a soft edge of two pixels."""
    foreground = np.full((60, 80, 3), (0, 255, 0), np.uint8)
    foreground[18:42, 28:52] = RED
    alpha = np.zeros((60, 80), np.float32)
    alpha[18:42, 28:52] = 0.5
    alpha[20:40, 30:50] = 1
    return foreground, alpha


@pytest.mark.parametrize(
    "frame",
    [
        Frame(Size(longest_px=40)),
        Frame(Size(longest_px=37)),
        Frame(Size(longest_px=200)),
        Frame(Size(hw=(90, 50)), fill=0.85),
        Frame(Size(hw=(64, 64)), crop=True),
        Frame(position=(0.0, 1.0)),
    ],
)
def test_no_hidden_colour_bleeds_into_the_product(frame: Frame) -> None:
    foreground, alpha = scene()
    placement = place(alpha.shape, (28, 18, 52, 42), frame)
    colours, placed = apply(placement, foreground, alpha)
    assert colours.shape == (*placement.canvas_hw, 3)
    assert placed.shape == placement.canvas_hw
    assert colours.dtype == np.uint8
    assert placed.dtype == np.float32
    assert placed.min() >= 0
    assert placed.max() == 1
    seen = colours[placed > 0.1].astype(int)
    assert np.abs(seen - RED).max() <= 3


def test_area_is_kept_when_shrunk() -> None:
    foreground, alpha = scene()
    _, small = apply(place(alpha.shape, None, Frame(Size(longest_px=40))), foreground, alpha)
    assert abs(float(small.mean()) - float(alpha.mean())) < 0.005


def test_the_identity_copies_nothing() -> None:
    foreground, alpha = scene()
    colours, placed = apply(place(alpha.shape, None, Frame()), foreground, alpha)
    assert colours is foreground
    assert placed is alpha


def test_what_lies_beside_the_photo_is_empty() -> None:
    foreground, _ = scene()
    alpha = np.ones((60, 80), np.float32)
    colours, placed = apply(place(alpha.shape, None, Frame(Size(hw=(80, 80)))), foreground, alpha)
    assert not placed[:10].any()
    assert not placed[70:].any()
    assert not colours[:10].any()
    assert placed[10:70].all()
