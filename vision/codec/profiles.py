"""ICC profiles of colour spaces that files name without carrying a profile (ICC.1:2001-04, matrix and curve)."""

import struct
from functools import cache
from typing import Final, Literal, TypeAlias

Space: TypeAlias = Literal["p3", "bt2020", "adobe_rgb"]

# XYZ of red, green and blue, adapted to D50 as profiles want it (Bradford).
_COLOURS: Final[dict[Space, tuple[float, ...]]] = {
    "p3": (0.51512, 0.24120, -0.00105, 0.29198, 0.69225, 0.04189, 0.15710, 0.06657, 0.78407),
    "bt2020": (0.67348, 0.27904, -0.00194, 0.16566, 0.67534, 0.02998, 0.12505, 0.04561, 0.79686),
    "adobe_rgb": (0.60974, 0.31111, 0.01947, 0.20528, 0.62567, 0.06087, 0.14919, 0.06322, 0.74457),
}
_D50: Final = (0.9642, 1.0, 0.8249)
_SRGB_CURVE: Final = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_ADOBE_GAMMA: Final = 563 / 256
_HEAD_BYTES: Final = 128


@cache
def profile_of(space: Space) -> bytes:
    """The profile's bytes."""
    colours = _COLOURS[space]
    curve = _curve((_ADOBE_GAMMA,), 0) if space == "adobe_rgb" else _curve(_SRGB_CURVE, 3)
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(space) + 1) + space.encode() + bytes(79),
        b"wtpt": _xyz(_D50),
        **{name: _xyz(colours[at : at + 3]) for name, at in ((b"rXYZ", 0), (b"gXYZ", 3), (b"bXYZ", 6))},
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


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def _curve(numbers: tuple[float, ...], kind: int) -> bytes:
    """A parametric curve: kind 0 is a gamma, kind 3 that of sRGB."""
    return b"para" + bytes(4) + struct.pack(f">HH{len(numbers)}i", kind, 0, *(round(n * 65536) for n in numbers))
