import numpy as np
import pytest

from vision.errors import ImageError
from vision.layers import keep_inside
from vision.region import locate, parse_region

PHOTO_HW = (100, 200)


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("0% 0% 100% 100%", (0, 0, 200, 100)),
        ("0 0 100% 100%", (0, 0, 200, 100)),
        ("10 20px 25% 50%", (10, 20, 50, 50)),
        ("199px 99px 200px 100px", (199, 99, 200, 100)),
    ],
)
def test_pixels_and_shares(text: str, box: tuple[int, ...]) -> None:
    assert locate(parse_region(text), PHOTO_HW) == box


@pytest.mark.parametrize("text", ["", "0 0 1", "0 0 1 1 1", "-1 0 5 5", "a b c d", "0 0 101% 5", "0 0 5em 5"])
def test_what_is_no_region(text: str) -> None:
    with pytest.raises(ValueError, match=r"region|distance"):
        parse_region(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0 0 201 100", "roi_exceeds_bounds"),
        ("0 0 200 101", "roi_exceeds_bounds"),
        ("300 0 400 50", "roi_exceeds_bounds"),
        ("50 50 50 60", "roi_region_empty"),
        ("60% 0 40% 50", "roi_region_empty"),
        ("0.1% 0 0.2% 50", "roi_region_empty"),
    ],
)
def test_regions_that_are_not_in_the_photo(text: str, code: str) -> None:
    with pytest.raises(ImageError) as raised:
        locate(parse_region(text), PHOTO_HW)
    assert raised.value.code == code


def test_nothing_outside_is_product() -> None:
    alpha = np.ones((10, 20), np.float32)
    kept = keep_inside(alpha, (5, 2, 15, 8))
    assert kept.sum() == 60
    assert kept[2:8, 5:15].all()
    assert alpha.all()
