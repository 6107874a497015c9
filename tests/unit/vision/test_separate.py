"""Alpha apart from the colours, and paint with opacity."""

import zipfile
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vision.layers import bleed, lay_under
from vision.output import Encoding
from vision.paint import Paint
from vision.separate import make_mask, make_zip


def disc(size: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A red disc with a soft edge on blue that must not be seen."""
    y, x = np.mgrid[:size, :size]
    distance = np.hypot(y - size / 2, x - size / 2)
    alpha = np.rint(np.clip(size / 3 - distance, 0, 1) * 255).astype(np.float32) / np.float32(255)
    foreground = np.where(alpha[..., None] > 0, (200, 40, 30), (0, 0, 255)).astype(np.uint8)
    return foreground, alpha


@settings(max_examples=40)
@given(st.integers(0, 99), st.integers(1, 255), st.tuples(*[st.integers(0, 255)] * 3))
def test_laying_paint_under_is_porter_duff_over(seed: int, opacity: int, colour: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    foreground = rng.integers(0, 256, (20, 30, 3), np.uint8)
    alpha = rng.integers(0, 256, (20, 30)).astype(np.float32) / np.float32(255)
    colours, together = lay_under(foreground, alpha, Paint(colour, opacity))
    front, back = alpha.astype(np.float64), (1 - alpha.astype(np.float64)) * opacity / 255
    whole = front + back
    mixed = (foreground * front[..., None] + np.array(colour) * back[..., None]) / whole[..., None]
    assert np.abs(together - whole).max() <= 0.5 / 255 + 1e-5
    assert np.abs(colours - mixed).max() <= 0.5 + 1e-3
    assert (colours[alpha == 0] == colour).all()
    np.testing.assert_array_equal(colours[alpha == 1], foreground[alpha == 1])


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_the_mask_is_the_alpha(kind: str) -> None:
    _, alpha = disc()
    with Image.open(BytesIO(make_mask(alpha, Encoding(kind)).file)) as image:
        assert image.mode == ("L" if kind == "png" else "RGB")
        grey = np.asarray(image.convert("L")).astype(int)
    off = np.abs(grey - np.rint(alpha * 255))
    assert off.max() <= (0 if kind == "png" else 40)
    assert off.mean() <= (0 if kind == "png" else 1)


def test_colours_bleed_over_the_background_and_stay_inside() -> None:
    foreground, alpha = disc()
    bled = bleed(foreground, alpha)
    shown = alpha > 0
    np.testing.assert_array_equal(bled[shown], foreground[shown])
    assert np.abs(bled[~shown].astype(int) - (200, 40, 30)).max() <= 12  # no blue of the photo


def test_bleeding_of_nothing_and_of_everything() -> None:
    foreground, _ = disc(5)
    assert not bleed(foreground, np.zeros((5, 5), np.float32)).any()
    np.testing.assert_array_equal(bleed(foreground, np.ones((5, 5), np.float32)), foreground)


def test_a_zip_holds_colours_and_alpha_that_make_the_cutout() -> None:
    foreground, alpha = disc()
    encoded = make_zip(foreground, alpha).file
    assert encoded == make_zip(foreground, alpha).file
    with zipfile.ZipFile(BytesIO(encoded)) as archive:
        assert archive.namelist() == ["color.jpg", "alpha.png"]
        colours = np.asarray(Image.open(BytesIO(archive.read("color.jpg"))).convert("RGB")).astype(int)
        matte = np.asarray(Image.open(BytesIO(archive.read("alpha.png"))))
    np.testing.assert_array_equal(matte, np.rint(alpha * 255))
    shown = alpha > 0
    assert np.abs(colours[shown] - foreground[shown]).max() <= 6  # no ringing: the edge is none to the JPEG
    assert colours[~shown][:, 2].max() < 60
