"""Which profile's colours a file is in: its own, or those that it merely names."""

import struct
from collections.abc import Mapping
from typing import Any, Final

from PIL import Image

from vision.codec.bmff import Primaries
from vision.codec.header import UNREADABLE, ImageHeader
from vision.codec.png_colours import profile_of_png
from vision.codec.profiles import ADOBE_GAMMA, ADOBE_RGB, BT2020, DISPLAY_P3, SRGB, Chromaticities, profile_of

_EXIF_IFD: Final = 0x8769
_INTEROP_IFD: Final = 0xA005
_COLOUR_SPACE: Final = 0xA001
_INDEX: Final = 1
_ADOBE_RGB: Final = ("R03", 0xFFFF)
_ADOBE_RGB_BY_MAKERS: Final = 2


_NAMED: Final[dict[Primaries, Chromaticities]] = {"srgb": SRGB, "p3": DISPLAY_P3, "bt2020": BT2020}
# Of a BITMAPV5HEADER, which stands behind the 14 bytes of the file's own header.
_BMP_HEAD: Final = 14
_BMP_V5_BYTES: Final = 124
_BMP_SPACE_AT: Final = _BMP_HEAD + 56
_BMP_PROFILE_AT: Final = _BMP_HEAD + 112
_BMP_EMBEDDED: Final = 0x4D424544


def profile_for(info: Mapping[Any, Any], header: ImageHeader, data: bytes) -> bytes | None:
    """The ICC profile to read the colours by; None where they are sRGB. `info` is that of the opened picture.

    A file without a profile may name its colours: PNG in chunks of its own; AVIF and HEIF by their primaries; cameras
    set to Adobe RGB write `R03` into the EXIF of their JPEGs (DCF 2.0, section 4.7), some a colour space of 2.
    """
    icc = info.get("icc_profile")
    if header.format == "png":
        return profile_of_png(data, icc)
    if header.format == "bmp":
        return _profile_of_bmp(data)
    if icc:
        return bytes(icc)
    if header.primaries != "srgb":
        return profile_of(_NAMED[header.primaries], None)
    is_adobe_rgb = header.format == "jpeg" and _is_adobe_rgb(info.get("exif", b""))
    return profile_of(ADOBE_RGB, ADOBE_GAMMA) if is_adobe_rgb else None


def _profile_of_bmp(data: bytes) -> bytes | None:
    """The profile in the file (BITMAPV5HEADER, bV5CSType `MBED`), which Pillow leaves alone.

    Primaries and gammas of a "calibrated" BMP say nothing: most writers leave zeros there, and some write the gamma
    upside down.
    """
    if int.from_bytes(data[_BMP_HEAD : _BMP_HEAD + 4], "little") < _BMP_V5_BYTES:
        return None
    if int.from_bytes(data[_BMP_SPACE_AT : _BMP_SPACE_AT + 4], "little") != _BMP_EMBEDDED:
        return None
    at, size = struct.unpack_from("<II", data, _BMP_PROFILE_AT)
    return data[_BMP_HEAD + at : _BMP_HEAD + at + size] or None


def _is_adobe_rgb(block: bytes) -> bool:
    exif = Image.Exif()
    try:
        exif.load(block)
        space = exif.get_ifd(_EXIF_IFD).get(_COLOUR_SPACE)
        index = exif.get_ifd(_INTEROP_IFD).get(_INDEX)
    except UNREADABLE:
        return False
    return space == _ADOBE_RGB_BY_MAKERS or (isinstance(index, str) and (index.rstrip("\0"), space) == _ADOBE_RGB)
