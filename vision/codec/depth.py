"""Sixteen bits to eight."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_STRIP_ROWS: Final = 128


def to_8_bits(wide: NDArray[np.generic]) -> NDArray[np.uint8]:
    """round(v * 255 / 65535) of 0..65535 in whole numbers, strip by strip."""
    out = np.empty(wide.shape, np.uint8)
    for top in range(0, wide.shape[0], _STRIP_ROWS):
        strip = slice(top, top + _STRIP_ROWS)
        out[strip] = (wide[strip].astype(np.uint32) + 128) // 257
    return out
