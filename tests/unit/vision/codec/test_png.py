import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vision.codec.png import read_png, write_png


@given(height=st.integers(1, 70), width=st.integers(1, 9), channels=st.sampled_from([1, 3, 4]), seed=st.integers(0, 99))
def test_what_was_written_is_read_by_us_and_by_pillow(height: int, width: int, channels: int, seed: int) -> None:
    shape = (height, width) if channels == 1 else (height, width, channels)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    encoded = write_png(pixels)
    assert np.array_equal(read_png(encoded), pixels)
    with Image.open(io.BytesIO(encoded)) as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_a_damaged_file_is_not_read_as_if_it_were_whole() -> None:
    encoded = write_png(np.random.default_rng(1).integers(0, 256, (40, 40, 4), np.uint8))
    at = encoded.index(b"IDAT") + 200
    with pytest.raises(ValueError, match="damaged"):
        read_png(encoded[:at] + bytes([encoded[at] ^ 0x55]) + encoded[at + 1 :])


def test_files_of_other_writers_are_refused() -> None:
    buffer = io.BytesIO()
    Image.effect_noise((50, 50), 40).save(buffer, "PNG")
    with pytest.raises(ValueError, match="not a PNG of this writer"):
        read_png(buffer.getvalue())
