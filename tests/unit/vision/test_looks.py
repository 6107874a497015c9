"""The second look: where it is directed, that it comes back to its place, and what becomes of failures."""

import numpy as np
import pytest

from tests.fakes import CANVAS_HW, FakeSegmenter
from tests.images import draw
from vision.letterbox import Letterbox
from vision.segmenters.looks import Prepared, View, look_at, looked_at, segment_unrefined
from worker.microbatch import look_at_each

HW = (600, 800)


def rectangle(top: int, bottom: int, left: int, right: int, hw=(60, 80)) -> np.ndarray:
    mask = np.zeros(hw, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def test_the_view_is_the_product_with_a_margin_in_the_photos_pixels():
    # 20 x 10 pixels of the map are 200 x 100 of the photo, and the margin is 0.3 of the longer side.
    assert View.around(rectangle(20, 40, 30, 40), HW) == View(140, 460, 240, 460)


def test_the_view_ends_at_the_photos_edge():
    assert View.around(rectangle(0, 20, 70, 80), HW) == View(0, 260, 640, 800)


@pytest.mark.parametrize("mask", [rectangle(0, 0, 0, 0), rectangle(2, 58, 2, 78)], ids=["none", "full"])
def test_without_anything_to_come_nearer_to_the_view_is_the_whole_photo(mask):
    assert View.around(mask, HW) == View(0, 600, 0, 800)


def test_a_tiny_product_is_not_magnified_without_end():
    view = View.around(rectangle(30, 31, 40, 41), HW)
    assert max(view.hw) == pytest.approx(800 / 4, abs=2)


def test_specks_do_not_widen_the_view():
    mask = rectangle(200, 400, 300, 400, (600, 800))
    mask[10, 10] = mask[590, 790] = True
    assert View.around(mask, HW) == View.around(rectangle(200, 400, 300, 400, (600, 800)), HW)


def test_both_maps_are_averaged_inside_the_view_and_the_first_stands_outside():
    first = np.zeros((60, 80), np.float32)
    averaged = View(100, 300, 200, 600).average(first, np.full((37, 64), 8, np.float32), HW)
    expected = first.copy()
    expected[10:30, 20:60] = 4
    np.testing.assert_allclose(averaged, expected, atol=1e-5)
    assert not first.any()


@pytest.mark.parametrize("view", [View(100, 300, 200, 600), View(103, 297, 207, 611), View(0, 600, 0, 800)])
@pytest.mark.parametrize("second_hw", [(120, 160), (300, 300), (20, 30)])
def test_a_second_map_lands_where_it_was_seen(view: View, second_hw):
    """A ramp over the photo, sampled by both looks, comes back as the ramp."""

    def ramp(top, bottom, left, right, hw):
        y = top + (np.arange(hw[0]) + 0.5) / hw[0] * (bottom - top)
        x = left + (np.arange(hw[1]) + 0.5) / hw[1] * (right - left)
        return (y[:, None] + 2 * x[None]).astype(np.float32)

    first = ramp(0, 600, 0, 800, (60, 80))
    second = ramp(view.top, view.bottom, view.left, view.right, second_hw)
    off = np.abs(view.average(first, second, HW) - first)
    # Beside the view's edge there is nothing to interpolate towards; elsewhere the place is right to a fraction.
    inside = off[view.top // 10 + 2 : view.bottom // 10 - 2, view.left // 10 + 2 : view.right // 10 - 2]
    assert inside.max() < 1.0
    assert off.max() < 30


def test_the_second_look_is_mirrored_and_nearer_and_comes_back_turned():
    """The product is an L: its tall part stands left, and right in a mirrored view."""
    image = np.full((300, 450, 3), 255, np.uint8)
    image[80:230, 100:150] = image[180:230, 100:250] = 0
    segmenter, seen = FakeSegmenter(), []
    segmenter.looks = 2
    segmenter.before_predict = lambda canvases: seen.append(canvases[0].mean(2) < 64)
    prepared = segmenter.prepare(image)
    [logits] = looked_at(segmenter, [(image, prepared)])
    assert segmenter.microbatches == [1, 1]
    first, second = seen
    assert second.sum() > 1.5 * first.sum()
    for product, tall_is_left in ((first, True), (second, False)):
        columns = np.flatnonzero(product.any(0))
        left, right = product[:, columns[2]].sum(), product[:, columns[-3]].sum()
        assert bool(left > 2 * right) is tall_is_left
        assert bool(right > 2 * left) is not tall_is_left
    once = prepared.letterbox.crop(segmenter.predict([prepared.canvas])[0])
    assert logits.shape == once.shape
    overlap = ((logits > 0) & (once > 0)).sum() / ((logits > 0) | (once > 0)).sum()
    assert overlap > 0.85


def test_two_looks_at_a_photo_that_both_see_alike_change_little():
    images = [draw("disc", "plain", hw).image for hw in [(64, 64), (97, 131), (1, 1), (1, 300), (301, 7), (900, 700)]]
    segmenter = FakeSegmenter()
    once = segment_unrefined(segmenter, images)
    segmenter.looks = 2
    twice = segment_unrefined(segmenter, images)
    for image, one, two in zip(images, once, twice, strict=True):
        assert two.shape == image.shape[:2]
        assert ((one > 0.5) == (two > 0.5)).mean() > 0.97


def test_a_photo_that_fails_keeps_its_failure_and_its_neighbours_their_maps():
    segmenter = FakeSegmenter()
    segmenter.looks = 2
    image = draw("disc", "plain", (90, 120)).image
    photos = [(image, segmenter.prepare(image))] * 3
    rounds: list[int] = []

    def predict(canvases):
        rounds.append(len(canvases))
        found = [*segmenter.predict(canvases)]
        found[0 if len(rounds) == 1 else 1] = "broken"
        return found

    first, second, third = look_at(segmenter, photos, predict, lambda step: step())
    assert rounds == [3, 2]
    assert isinstance(first, str)
    assert isinstance(second, np.ndarray)
    assert isinstance(third, str)


def test_one_look_is_one_forward():
    segmenter = FakeSegmenter()
    image = draw("disc", "plain", (90, 120)).image
    segment_unrefined(segmenter, [image, image])
    assert segmenter.microbatches == [2]


def test_a_second_view_that_cannot_be_prepared_is_one_photos_failure():
    segmenter = FakeSegmenter()
    segmenter.looks = 2
    images = [draw("disc", "plain", (90, 120)).image for _ in range(2)]
    photos = [(image, segmenter.prepare(image)) for image in images]
    prepare, turns = segmenter.prepare, iter([RuntimeError("no memory"), None])

    def prepare_or_break(image):
        if (error := next(turns)) is not None:
            raise error
        return prepare(image)

    segmenter.prepare = prepare_or_break
    broken, whole = look_at_each(segmenter, photos)
    assert str(broken) == "no memory"
    assert isinstance(whole, np.ndarray)


def test_a_squashed_photo_is_looked_at_again_in_its_place():
    """The canvas of both views has the photo's ends at its own, whatever the aspect."""

    class Squashing(FakeSegmenter):
        def prepare(self, image):
            box = Letterbox((image.shape[0], image.shape[1]), CANVAS_HW, (0, 0), CANVAS_HW)
            return Prepared(box.apply(image), box)

    image = np.full((300, 900, 3), 255, np.uint8)
    image[100:160, 100:400] = 0
    segmenter = Squashing()
    segmenter.looks = 2
    [alpha] = segment_unrefined(segmenter, [image])
    rows, columns = np.nonzero(alpha > 0.5)
    assert rows.min() == pytest.approx(100, abs=5)
    assert rows.max() == pytest.approx(160, abs=5)
    assert columns.min() == pytest.approx(100, abs=15)
    assert columns.max() == pytest.approx(400, abs=15)
