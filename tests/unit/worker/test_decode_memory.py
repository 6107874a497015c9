"""The memory of a decoder process: small files that hold 50 megapixels, and files that hold more than they claim."""

from collections.abc import Iterator

import numpy as np
import psutil
import pytest

from tests.corpus.bmffs import Coded, coded, ispe, still
from tests.corpus.large import BOMBS, HW
from tests.photo_files import quadrants, save
from tests.unit.worker.test_decoders import peak_bytes
from vision.codec.header import Limits
from vision.errors import ImageError
from worker.decoders import DecoderPool

MOST_BYTES = 2_500_000_000
PHOTO = save(quadrants(), "PNG")


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(Limits(), children=1, timeout_s=60) as pool:
        yield pool


def assert_decodes(pool: DecoderPool) -> None:
    with pool.submit(PHOTO).result(60) as photo:
        assert np.array_equal(photo.image, quadrants())


@pytest.mark.parametrize("name", BOMBS)
def test_fifty_megapixels_of_a_small_file_stay_within_the_ceiling(pool: DecoderPool, name: str) -> None:
    with pool.submit(BOMBS[name]()).result(60) as photo:
        assert photo.image.shape == (*HW, 3)
    [child] = [each for each in psutil.Process().children() if "worker.decode_child" in each.cmdline()]
    assert peak_bytes(child.pid) < MOST_BYTES
    assert_decodes(pool)


@pytest.mark.parametrize("kind", [b"av01", b"hvc1"])
def test_pixels_beyond_what_the_header_claims_are_an_error_or_not_shown(pool: DecoderPool, kind: bytes) -> None:
    """The coded picture is 1024 x 1024, its box says 64 x 64: libavif scales it down, libheif refuses."""
    hidden = coded(np.full((1024, 1024), 7, np.uint8), kind)
    boxes = tuple(ispe((64, 64)) if box[4:8] == b"ispe" else box for box in hidden.boxes)
    handle = pool.submit(still(Coded(kind, hidden.data, (64, 64), boxes)))
    if kind == b"av01":
        with handle.result(60) as photo:
            assert photo.image.shape == (64, 64, 3)
    else:
        assert isinstance(error := handle.exception(60), ImageError)
        assert error.code == "failed_to_read_image"
    assert_decodes(pool)
