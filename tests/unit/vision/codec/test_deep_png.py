"""PNGs of 16 bits: each of their levels, the transparent colour, and interlaced ones."""

import struct

import numpy as np
import pytest

from tests.photo_files import chunk, raw_png
from vision.codec.decode import decode
from vision.codec.header import Limits

ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row and column, and steps, of each pass (PNG Third Edition, section 8.2)."""
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
EVERY_LEVEL = np.arange(65536).reshape(256, 256)


def rows_of(levels: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)


def interlaced(levels: np.ndarray, colour_type: int) -> bytes:
    rows = b"".join(rows_of(levels[y::down, x::across]) for y, x, down, across in ADAM7)
    data = raw_png((levels.shape[1], levels.shape[0]), 16, colour_type, rows)
    head = data[16:28] + b"\1"
    return data[:8] + chunk(b"IHDR", head) + data[33:]


def rounded(levels: np.ndarray) -> np.ndarray:
    return np.floor(levels * 255 / 65535 + 0.5).astype(np.uint8)


@pytest.mark.parametrize("colour_type", CHANNELS)
def test_every_level_is_rounded_to_the_nearest(colour_type: int) -> None:
    turned = [np.roll(EVERY_LEVEL, 7919 * n) for n in range(CHANNELS[colour_type])]
    levels = np.stack(turned, axis=-1)
    decoded = decode(raw_png((256, 256), 16, colour_type, rows_of(levels)), Limits())
    has_alpha = colour_type in {4, 6}
    colour = levels[..., :-1] if has_alpha else levels
    assert np.array_equal(decoded.image, np.broadcast_to(rounded(colour), (256, 256, 3)))
    if has_alpha:
        assert decoded.alpha is not None
        assert np.array_equal(decoded.alpha, rounded(levels[..., -1]))
    else:
        assert decoded.alpha is None
    assert decoded.facts.bits == 16


@pytest.mark.parametrize("colour_type", CHANNELS)
@pytest.mark.parametrize("hw", [(1, 1), (37, 41)])
def test_interlaced_ones_come_out_the_same(colour_type: int, hw: tuple[int, int]) -> None:
    levels = np.random.default_rng(2).integers(0, 65536, (*hw, CHANNELS[colour_type]))
    plain = decode(raw_png((hw[1], hw[0]), 16, colour_type, rows_of(levels)), Limits())
    woven = decode(interlaced(levels, colour_type), Limits())
    assert np.array_equal(plain.image, woven.image)
    assert np.array_equal(plain.alpha, woven.alpha) if plain.alpha is not None else woven.alpha is None


def test_only_the_very_colour_is_transparent() -> None:
    """Not its neighbours of the same high bytes, nor of the same low ones."""
    key = (0x1234, 0x8001, 0xFFFE)
    near = [key, (0x1235, 0x8001, 0xFFFE), (0x1334, 0x8001, 0xFFFE), (0x1234, 0x8001, 0xFFFF), (0, 0, 0), key]
    before = chunk(b"tRNS", struct.pack(">3H", *key))
    decoded = decode(raw_png((6, 1), 16, 2, rows_of(np.array([near])), before_pixels=before), Limits())
    assert decoded.alpha is not None
    assert decoded.alpha.tolist() == [[0, 255, 255, 255, 255, 0]]
    assert np.array_equal(decoded.image, rounded(np.array([near])))
