"""Layouts: what lands where, and how large."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.frame import Frame, Placement, Size, parse_margins, parse_position, parse_size, place

PHOTO_HW = (100, 200)
PRODUCT = (40, 20, 120, 60)  # 80 x 40


def at(frame: Frame) -> Placement:
    return place(PHOTO_HW, PRODUCT, frame)


def test_the_photo_as_it_is() -> None:
    assert at(Frame()) == Placement(PHOTO_HW, (0, 0, 200, 100), (0, 0, 200, 100))
    assert at(Frame()).is_identity
    assert not at(Frame()).is_upscaled


def test_longest_side_smaller_and_larger() -> None:
    smaller = at(Frame(Size(longest_px=50)))
    assert (smaller.canvas_hw, smaller.target, smaller.is_upscaled) == ((25, 50), (0, 0, 50, 25), False)
    larger = at(Frame(Size(longest_px=400)))
    assert (larger.canvas_hw, larger.is_upscaled) == ((200, 400), True)


def test_a_box_holds_the_whole_photo_in_its_middle() -> None:
    placed = at(Frame(Size(hw=(100, 100))))
    assert (placed.canvas_hw, placed.target, placed.is_upscaled) == ((100, 100), (0, 25, 100, 75), False)


def test_megapixels_only_shrink() -> None:
    assert at(Frame(Size(max_megapixels=1))).is_identity
    placed = at(Frame(Size(max_megapixels=0.005)))
    assert placed.canvas_hw == (50, 100)


def test_a_crop_and_its_margins() -> None:
    assert at(Frame(crop=True)).source == PRODUCT
    placed = at(Frame(crop=True, margins=parse_margins("10px 50%")))
    assert (placed.canvas_hw, placed.source) == ((60, 160), (0, 10, 160, 70))
    over_the_edge = at(Frame(crop=True, margins=parse_margins("40px 0 0 0")))
    assert over_the_edge.canvas_hw == (80, 80)
    assert over_the_edge.source == (40, 0, 120, 60)
    assert over_the_edge.target == (0, 20, 80, 80)  # what lies outside the photo is empty


@pytest.mark.parametrize(("share", "box"), [(0.5, (25, 37, 75, 62)), (1.0, (0, 25, 100, 75))])
def test_fill_is_the_share_of_the_frame(share: float, box: tuple[int, int, int, int]) -> None:
    placed = at(Frame(Size(hw=(100, 100)), fill=share))
    scale = (placed.target[2] - placed.target[0]) / (placed.source[2] - placed.source[0])
    left = placed.target[0] + (PRODUCT[0] - placed.source[0]) * scale
    top = placed.target[1] + (PRODUCT[1] - placed.source[1]) * scale
    found = (left, top, left + 80 * scale, top + 40 * scale)
    assert all(abs(a - b) <= 1 for a, b in zip(found, box, strict=True))


def test_position_moves_the_product() -> None:
    placed = at(Frame(position=(0.0, 1.0)))
    assert placed.target[0] - placed.source[0] == -40
    assert placed.target[1] - placed.source[1] == 40


def test_without_a_product_the_whole_photo_is_shown() -> None:
    frame = Frame(crop=True, fill=0.9, position=(0.0, 0.0))
    assert place(PHOTO_HW, None, frame).is_identity


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("Original", Size()),
        ("2000x1000", Size(hw=(1000, 2000))),
        ("longest:800", Size(longest_px=800)),
        ("megapixels:0.25", Size(max_megapixels=0.25)),
    ],
)
def test_sizes(text: str, size: Size) -> None:
    assert parse_size(text, max_megapixels=50) == size


def test_positions() -> None:
    assert [parse_position(text) for text in ("original", "center", "10%", "10% 90%")] == [
        None, (0.5, 0.5), (0.1, 0.1), (0.1, 0.9),
    ]  # fmt: skip


boxes = st.tuples(st.integers(0, 150), st.integers(0, 80), st.integers(1, 50), st.integers(1, 20))
frames = st.builds(
    Frame,
    size=st.one_of(
        st.just(Size()),
        st.builds(Size, hw=st.tuples(st.integers(1, 300), st.integers(1, 300))),
        st.builds(Size, longest_px=st.integers(1, 400)),
        st.builds(Size, max_megapixels=st.floats(0.0001, 1)),
    ),
    crop=st.booleans(),
    margins=st.sampled_from([None, parse_margins("10%"), parse_margins("1 200 3 4")]),
    fill=st.one_of(st.none(), st.floats(0.1, 1)),
    position=st.one_of(st.none(), st.tuples(st.floats(0, 1), st.floats(0, 1))),
)


@given(boxes, frames)
def test_every_layout_is_sound(box: tuple[int, int, int, int], frame: Frame) -> None:
    product = (box[0], box[1], box[0] + box[2], box[1] + box[3])
    placed = place(PHOTO_HW, product, frame)
    left, top, right, bottom = placed.source
    assert 0 <= left < right <= 200
    assert 0 <= top < bottom <= 100
    x0, y0, x1, y1 = placed.target
    assert x0 < x1
    assert y0 < y1
    assert min(placed.canvas_hw) > 0
    # The product is on the canvas, and nothing is scaled that is not shown.
    assert x1 > 0
    assert y1 > 0
    assert x0 < placed.canvas_hw[1] + 2
    assert y0 < placed.canvas_hw[0] + 2
    if frame.fill is not None and frame.position is None:
        assert x1 - x0 <= 3 * placed.canvas_hw[1] + 2 * (x1 - x0) / (right - left) + 4


def test_a_box_lands_where_its_pixels_do() -> None:
    assert at(Frame()).landed(PRODUCT) == PRODUCT
    assert at(Frame(crop=True)).landed(PRODUCT) == (0, 0, 80, 40)
    assert at(Frame(Size(longest_px=100))).landed(PRODUCT) == (20, 10, 60, 30)
    filled = at(Frame(Size(hw=(100, 100)), fill=0.8))
    assert filled.landed(PRODUCT) == (10, 30, 90, 70)
    assert Placement((10, 10), (0, 0, 10, 10), (0, 0, 10, 10)).landed((20, 0, 30, 10)) is None
