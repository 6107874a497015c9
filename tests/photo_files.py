"""Photo files as cameras, editors and attackers make them, for tests of everything that reads files."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from PIL import ExifTags, Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAKER = "Secret Camera Works"
COMMENT = b"taken at home"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>where I live</rdf:RDF></x:xmpmeta>'


def save(image: Image.Image | np.ndarray, format: str, **options: Any) -> bytes:  # noqa: A002
    """`format` is Pillow's: JPEG, PNG, WEBP ..."""
    out = BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(out, format, **options)
    return out.getvalue()


def exif(*, orientation: int | None = None, gps: bool = False) -> bytes:
    """EXIF with an orientation and, on demand, a maker and a GPS position."""
    tags = Image.Exif()
    if orientation is not None:
        tags[ExifTags.Base.Orientation] = orientation
    if gps:
        tags[ExifTags.Base.Make] = MAKER
        position = tags.get_ifd(ExifTags.IFD.GPSInfo)
        position[ExifTags.GPS.GPSLatitudeRef] = "N"
        position[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    return tags.tobytes()


def quadrants(hw: tuple[int, int] = (48, 80)) -> np.ndarray:
    """Four colours, no two alike under any turn or flip; edges on the 8 px grid, so JPEG keeps them clean."""
    image = np.zeros((*hw, 3), np.uint8)
    middle, centre = hw[0] // 2, hw[1] // 2
    image[:middle, :centre] = (220, 40, 40)
    image[:middle, centre:] = (40, 200, 60)
    image[middle:, :centre] = (50, 60, 210)
    image[middle:, centre:] = (230, 220, 70)
    return image


def stored_for(shown: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores so that `shown` appears, from the table of TIFF 6.0 (tag 274), by plain indexing.

    Orientation names the side of the shown picture on which row 0 and column 0 of the stored one lie.
    """
    height, width = shown.shape[:2]
    rows, columns = (width, height) if orientation >= 5 else (height, width)
    stored = np.empty((rows, columns, *shown.shape[2:]), shown.dtype)
    for r in range(rows):
        for c in range(columns):
            y, x = {
                1: (r, c),  # row 0 top, column 0 left
                2: (r, width - 1 - c),  # top, right
                3: (height - 1 - r, width - 1 - c),  # bottom, right
                4: (height - 1 - r, c),  # bottom, left
                5: (c, r),  # left, top
                6: (c, width - 1 - r),  # right, top
                7: (height - 1 - c, width - 1 - r),  # right, bottom
                8: (height - 1 - c, r),  # left, bottom
            }[orientation]
            stored[r, c] = shown[y, x]
    return stored


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def raw_png(wh: tuple[int, int], bits: int, colour_type: int, rows: bytes, *, before_pixels: bytes = b"") -> bytes:
    """A PNG written by hand; `rows` are filtered rows (a filter byte each), `before_pixels` ready chunks."""
    head = struct.pack(">IIBBBBB", *wh, bits, colour_type, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return PNG_SIGNATURE + chunk(b"IHDR", head) + before_pixels + pixels + chunk(b"IEND", b"")


def bomb_png(side_px: int = 50_000) -> bytes:
    """A kilobyte that claims `side_px` squared pixels."""
    return raw_png((side_px, side_px), 8, 2, bytes(1000))


def matrix_profile(
    red: tuple[float, float, float],
    green: tuple[float, float, float],
    blue: tuple[float, float, float],
    *,
    gamma: float,
    space: bytes = b"RGB ",
) -> bytes:
    """An ICC v2 display profile from D50 XYZ columns and one gamma, written by hand (ICC.1:2001-04)."""

    def s15(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(values: tuple[float, float, float]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(s15, values))

    white = (0.9642, 1.0, 0.8249)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(8 + 3 + 67) + b"\0"
    tags = {
        b"desc": text + bytes(-len(text) % 4),
        b"wtpt": xyz(white),
        b"rXYZ": xyz(red),
        b"gXYZ": xyz(green),
        b"bXYZ": xyz(blue),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
    }
    table, bodies = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        table += name + struct.pack(">II", start + len(bodies), len(body))
        bodies += body
    head = struct.pack(">I4s4s4s4s4s", start + len(bodies), b"", b"\x02\x20\0\0", b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + b"".join(map(s15, white))
    return head + bytes(128 - len(head)) + table + bodies


def adobe_rgb_profile() -> bytes:
    """Adobe RGB (1998): its columns adapted to D50, gamma 563 / 256."""
    red, green, blue = (0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)
    return matrix_profile(red, green, blue, gamma=563 / 256)


def adobe_rgb_to_srgb(image: np.ndarray) -> np.ndarray:
    """The same by the published formulas (IEC 61966-2-1, Adobe RGB 1998 section 4.3), apart from any colour library."""
    linear = (image / 255.0) ** (563 / 256)
    to_xyz = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])
    to_rgb = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    rgb = np.clip(linear @ to_xyz.T @ to_rgb.T, 0, 1)
    encoded = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)
