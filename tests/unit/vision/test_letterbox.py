import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.letterbox import PAD_VALUE, Letterbox, resize

SIDES = st.integers(1, 300)
CANVASES = st.sampled_from([(32, 32), (64, 96), (96, 64)])


@settings(max_examples=80, deadline=None)
@given(height=SIDES, width=SIDES, canvas_hw=CANVASES)
def test_there_and_back_gives_the_photos_size(height, width, canvas_hw):
    box = Letterbox.fit((height, width), canvas_hw)
    canvas = box.apply(np.full((height, width, 3), 7, np.uint8))
    assert canvas.shape == (*canvas_hw, 3)
    back = box.invert(canvas[..., 0].astype(np.float32))
    assert back.shape == (height, width)
    # Nothing of the padding leaks into the photo.
    assert np.abs(back - 7).max() < 1e-3


@settings(max_examples=80, deadline=None)
@given(height=SIDES, width=SIDES, canvas_hw=CANVASES)
def test_the_photo_is_centred_and_touches_two_sides(height, width, canvas_hw):
    box = Letterbox.fit((height, width), canvas_hw)
    spare = [canvas - scaled for canvas, scaled in zip(canvas_hw, box.scaled_hw, strict=True)]
    assert min(spare) == 0
    assert all(rest // 2 == pad for rest, pad in zip(spare, box.pad_tl, strict=True))


@pytest.mark.parametrize("hw", [(480, 640), (640, 480), (512, 512), (333, 777)])
def test_a_smooth_map_survives_the_way_there_and_back(hw):
    rows, columns = np.mgrid[: hw[0], : hw[1]]
    ramp = (rows / hw[0] + columns / hw[1]) * 127
    box = Letterbox.fit(hw, (256, 256))
    canvas = box.apply(np.repeat(ramp[..., None], 3, axis=2).astype(np.uint8))
    back = box.invert(canvas[..., 0].astype(np.float32))
    assert np.abs(back - ramp).max() < 3


def test_beside_the_photo_is_grey():
    canvas = Letterbox.fit((10, 20), (32, 32)).apply(np.zeros((10, 20, 3), np.uint8))
    assert (canvas[:8] == PAD_VALUE).all()
    assert (canvas[8:24] == 0).all()
    assert (canvas[24:] == PAD_VALUE).all()


def test_shrinking_averages_instead_of_skipping():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 200
    assert np.abs(resize(stripes, (16, 16)).astype(int) - 100).max() <= 1


def test_a_photo_of_another_size_is_refused():
    box = Letterbox.fit((10, 20), (32, 32))
    with pytest.raises(ValueError, match="10, 20"):
        box.apply(np.zeros((20, 10, 3), np.uint8))
    with pytest.raises(ValueError, match="32, 32"):
        box.invert(np.zeros((16, 16), np.float32))


def test_an_empty_photo_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Letterbox.fit((0, 10), (32, 32))
