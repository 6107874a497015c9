"""ICC profiles written by hand, and the colours that they mean by plain formulas, apart from any colour library."""

import struct
from itertools import product

import numpy as np

from tests.photo_files import matrix_profile

D50 = np.array([0.9642, 1.0, 0.8249])
P3_COLUMNS = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
# XYZ (D65) of the primaries: SMPTE EG 432-1 with sRGB's white, and ITU-R BT.2020.
P3_TO_XYZ = np.array([[0.48657, 0.26567, 0.19822], [0.22897, 0.69174, 0.07929], [0.0, 0.04511, 1.04394]])
BT2020_TO_XYZ = np.array([[0.63696, 0.14462, 0.16888], [0.26270, 0.67800, 0.05930], [0.0, 0.02807, 1.06099]])
XYZ_TO_SRGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
D50_TO_D65 = np.array(
    [[0.9555766, -0.0230393, 0.0631636], [-0.0282895, 1.0099416, 0.0210077], [0.0122982, -0.0204830, 1.3299098]]
)


def srgb_linear(image: np.ndarray) -> np.ndarray:
    level = image / 255.0
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def srgb_levels(linear: np.ndarray) -> np.ndarray:
    free = np.clip(linear, 0, 1)
    encoded = np.where(free <= 0.0031308, 12.92 * free, 1.055 * free ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)


def to_srgb(image: np.ndarray, to_xyz: np.ndarray) -> np.ndarray:
    """From primaries with sRGB's white and curve."""
    return srgb_levels(srgb_linear(image) @ to_xyz.T @ XYZ_TO_SRGB.T)


def p3_profile() -> bytes:
    """The primaries of Display P3 with a gamma of 2.2."""
    return matrix_profile(*P3_COLUMNS, gamma=2.2)


def p3_profile_to_srgb(image: np.ndarray) -> np.ndarray:
    """The same by formulas."""
    return srgb_levels((image / 255.0) ** 2.2 @ P3_TO_XYZ.T @ XYZ_TO_SRGB.T)


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """(..., 3) L* 0 to 100, a*, b*, of D50 white (ISO 13655)."""
    f_y = (lab[..., 0] + 16) / 116
    f = np.stack([f_y + lab[..., 1] / 500, f_y, f_y - lab[..., 2] / 200], axis=-1)
    xyz = D50 * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    return srgb_levels(xyz @ D50_TO_D65.T @ XYZ_TO_SRGB.T)


def inks_lab(ink: np.ndarray) -> np.ndarray:
    """Lab of full or no ink (0 or 255 each) on the paper of `cmyk_profile`: bright, and unlike the plain formula's."""
    c, m, y, k = (ink[..., n] / 255.0 for n in range(4))
    light = 95 - 22 * c - 30 * m - 8 * y - 25 * k
    return np.stack([light, -24 * c + 36 * m - 4 * y, -28 * c - 4 * m + 44 * y], axis=-1)


def cmyk_profile() -> bytes:
    """A printer's profile of two grid points an ink (ICC.1:2001-04, lut8Type), so that full inks are exact."""
    identity = bytes(range(256))
    nodes = b""
    for inks in product((0, 255), repeat=4):
        lab = inks_lab(np.array(inks))
        nodes += bytes((round(lab[0] * 2.55), round(lab[1] + 128), round(lab[2] + 128)))
    unit = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + unit + identity * 4 + nodes + identity * 3
    tags = [
        (b"desc", b"desc" + bytes(4) + struct.pack(">I", 5) + b"inks\0" + bytes(78)),
        (b"wtpt", b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in D50))),
        (b"A2B0", lut),
    ]
    start, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, part in tags:
        table += struct.pack(">4sII", name, start + len(body), len(part))
        body += part + bytes(-len(part) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", *(round(value * 65536) for value in D50))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
