"""ICC profiles of colours that files name without carrying a profile (ICC.1:2001-04, matrix and curve)."""

import struct
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Chromaticities(NamedTuple):
    """x and y (CIE 1931) of white and of the three primaries."""

    white: tuple[float, float]
    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]


_D65: Final = (0.3127, 0.3290)
SRGB: Final = Chromaticities(_D65, (0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
DISPLAY_P3: Final = Chromaticities(_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
BT2020: Final = Chromaticities(_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
ADOBE_RGB: Final = Chromaticities(_D65, (0.640, 0.330), (0.210, 0.710), (0.150, 0.060))
ADOBE_GAMMA: Final = 563 / 256

_SRGB_CURVE: Final = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_D50: Final = (0.9642, 1.0, 0.8249)
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""Cone responses of XYZ, in which whites are adapted to each other (ICC.1:2022, annex E)."""
_GAMMAS: Final = (0.1, 10.0)
_MOST_XYZ: Final = 4.0
_HEAD_BYTES: Final = 128


@lru_cache(32)
def profile_of(colours: Chromaticities, gamma: float | None) -> bytes:
    """The profile's bytes; light is the level to the power of `gamma`, or by sRGB's curve for None.

    Raises ValueError for numbers that are no colours: three primaries in a line, a gamma that no display has.
    """
    if gamma is not None and not _GAMMAS[0] <= gamma <= _GAMMAS[1]:
        raise ValueError("no display has this gamma")
    curve = _curve(_SRGB_CURVE, 3) if gamma is None else _curve((gamma,), 0)
    columns = _columns(colours)
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 6) + b"named\0" + bytes(78),
        b"wtpt": _xyz(_D50),
        **{name: _xyz(tuple(columns[:, at])) for at, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    table, bodies = b"", b""
    start = _HEAD_BYTES + 4 + 12 * len(tags)
    for name, body in tags.items():
        table += struct.pack(">4sII", name, start + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    size = start + len(bodies)
    head = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", *(round(value * 65536) for value in _D50))
    return head.ljust(_HEAD_BYTES, b"\0") + struct.pack(">I", len(tags)) + table + bodies


def _columns(colours: Chromaticities) -> NDArray[np.float64]:
    """XYZ of red, green and blue, adapted to D50 as profiles want it (Bradford); their sum is white."""
    if min(y for _, y in colours) <= 0:
        raise ValueError("a colour without light")
    white, *primaries = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in colours)
    matrix = np.column_stack(primaries)
    try:
        amounts = np.linalg.solve(matrix, white)
    except np.linalg.LinAlgError as error:
        raise ValueError("primaries in a line") from error
    cones = _BRADFORD @ np.array(_D50) / (_BRADFORD @ white)
    columns: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ (matrix * amounts)
    if not np.isfinite(columns).all() or np.abs(columns).max() > _MOST_XYZ:
        raise ValueError("primaries nearly in a line")
    return columns


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def _curve(numbers: tuple[float, ...], kind: int) -> bytes:
    """A parametric curve: kind 0 is a gamma, kind 3 that of sRGB."""
    return b"para" + bytes(4) + struct.pack(f">HH{len(numbers)}i", kind, 0, *(round(n * 65536) for n in numbers))
