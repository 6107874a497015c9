import time
import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.images import coarse_logits, draw
from vision.numeric import sigmoid
from vision.refine import refine


def upsampled(logits, hw):
    return sigmoid(cv2.resize(logits, hw[::-1], interpolation=cv2.INTER_LINEAR))


def gradient(alpha):
    soft = cv2.GaussianBlur(alpha, (0, 0), 1.4)
    return np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))


def errors(exact, alpha):
    """SAD / 1000, MSE x pixels / 1000 and gradient error / 1000."""
    miss = exact - alpha
    return np.array([
        np.abs(miss).sum(), (miss**2).sum(), ((gradient(exact) - gradient(alpha)) ** 2).sum()
    ]) / 1000  # fmt: skip


@pytest.mark.parametrize("ground", ["plain", "white", "textured"])
@pytest.mark.parametrize(
    ("shape", "most"), [("disc", 0.15), ("ring", 0.15), ("wedge", 0.15), ("wires", 0.6), ("hair", 0.6)]
)
def test_every_error_shrinks(shape, ground, most):
    drawing = draw(shape, ground, (600, 800))
    logits = coarse_logits(drawing.alpha)
    before = errors(drawing.alpha, upsampled(logits, (600, 800)))
    after = errors(drawing.alpha, refine(drawing.image, logits))
    assert (after <= most * before).all(), (before, after)


def test_a_product_of_the_backgrounds_colour_is_left_as_the_network_saw_it():
    drawing = draw("disc", "plain", (600, 800))
    flat = np.full_like(drawing.image, 128)
    flat += np.random.default_rng(0).integers(0, 5, flat.shape, np.uint8)
    logits = coarse_logits(drawing.alpha)
    before = errors(drawing.alpha, upsampled(logits, (600, 800)))
    assert (errors(drawing.alpha, refine(flat, logits)) <= 1.05 * before).all()


def test_exactly_one_inside_and_exactly_zero_outside_of_the_band():
    drawing = draw("disc", "textured", (601, 803))
    alpha = refine(drawing.image, coarse_logits(drawing.alpha))
    distance = cv2.distanceTransform((drawing.alpha > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((drawing.alpha <= 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    assert (alpha[distance > 40] == 1).all()
    assert (alpha[outside > 40] == 0).all()
    steps = alpha.astype(float) * 65535
    np.testing.assert_allclose(steps, np.rint(steps), atol=0.01)
    assert len(np.unique(np.rint(steps))) > 1000


def test_thin_wires_are_not_eaten():
    drawing = draw("wires", "plain", (1200, 1600))
    alpha = refine(drawing.image, coarse_logits(drawing.alpha, 512))
    wires = drawing.alpha.copy()
    wires[740:] = 0  # the block below
    kept = np.minimum(alpha, wires).sum() / wires.sum()
    assert kept > 0.9


def test_a_faint_map_stays_empty():
    image = draw("disc", "textured", (300, 400)).image
    faint = np.full((96, 128), -4.0, np.float32)
    faint[40:50, 50:60] = -3.6  # the map's maximum is no product
    assert refine(image, faint).max() == 0


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 130), width=st.integers(1, 130), side=st.sampled_from([1, 7, 32, 64]), seed=st.integers(0, 9)
)
def test_any_size_gives_a_finite_alpha(height, width, side, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    scale = min(1, side / max(height, width))
    coarse_hw = (max(1, round(height * scale)), max(1, round(width * scale)))
    alpha = refine(image, rng.normal(0, 6, coarse_hw).astype(np.float32))
    assert alpha.shape == (height, width)
    assert alpha.dtype == np.float32
    assert np.isfinite(alpha).all()
    assert 0 <= alpha.min() <= alpha.max() <= 1


def test_memory_beside_the_result_does_not_grow_with_the_photo():
    def peak_mib(hw):
        y, x = np.ogrid[: hw[0], : hw[1]]
        product = (np.hypot(y - hw[0] / 2, x - hw[1] / 2) < hw[0] / 3)[..., None]
        image = np.where(product, np.uint8([150, 60, 40]), np.uint8([190, 195, 205])).astype(np.uint8)
        logits = coarse_logits(product[..., 0].astype(np.float32), 256)
        tracemalloc.start()
        alpha = refine(image, logits)
        peak = tracemalloc.get_traced_memory()[1] - alpha.nbytes
        tracemalloc.stop()
        return peak / 2**20

    small, large = peak_mib((750, 1000)), peak_mib((3000, 4000))
    assert small < 60
    # Sixteen times the pixels: only the tile grows.
    assert large < small + 40


def test_no_seams_between_tiles_where_the_network_fades():
    """Inside a product that it slowly becomes unsure of, alpha fades as slowly."""
    image = np.full((900, 1200, 3), 90, np.uint8)
    slope = np.linspace(0.5, 6, 96, dtype=np.float32)[:, None] + np.linspace(0, 1, 128, dtype=np.float32)[None]
    alpha = refine(image, slope)
    assert alpha.min() < 0.7
    assert alpha.max() == 1
    for axis in (0, 1):
        assert np.abs(np.diff(alpha, axis=axis)).max() <= 2.01 / 255


def test_a_thread_of_a_photo_costs_no_more_than_a_broad_one() -> None:
    logits = np.random.default_rng(3).normal(0, 1, (1, 384)).astype(np.float32)
    refine(np.zeros((4, 64, 3), np.uint8), logits[:, :16])  # compiled
    start = time.process_time()
    alpha = refine(np.full((1, 16_383, 3), 90, np.uint8), logits)
    assert time.process_time() - start < 5  # statistics that reach as far as the photo is long took half a minute
    assert alpha.shape == (1, 16_383)
    assert np.isfinite(alpha).all()
