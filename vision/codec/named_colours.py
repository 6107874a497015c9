"""Which profile's colours a file is in: its own, or those that it merely names."""

from collections.abc import Mapping
from typing import Any, Final

from PIL import Image

from vision.codec.header import UNREADABLE, ImageHeader
from vision.codec.profiles import profile_of

_EXIF_IFD: Final = 0x8769
_INTEROP_IFD: Final = 0xA005
_COLOUR_SPACE: Final = 0xA001
_INDEX: Final = 1
_ADOBE_RGB: Final = ("R03", 0xFFFF)
_ADOBE_RGB_BY_MAKERS: Final = 2


def profile_for(info: Mapping[Any, Any], header: ImageHeader) -> bytes | None:
    """The ICC profile to read the colours by; None where they are sRGB. `info` is that of the opened picture.

    A file without a profile may name its colours: AVIF and HEIF by their primaries; cameras set to Adobe RGB write
    `R03` into the EXIF of their JPEGs (DCF 2.0, section 4.7), some a colour space of 2, and no profile.
    """
    if icc := info.get("icc_profile"):
        return bytes(icc)
    if header.primaries != "srgb":
        return profile_of(header.primaries)
    return profile_of("adobe_rgb") if header.format == "jpeg" and _is_adobe_rgb(info.get("exif", b"")) else None


def _is_adobe_rgb(block: bytes) -> bool:
    exif = Image.Exif()
    try:
        exif.load(block)
        space = exif.get_ifd(_EXIF_IFD).get(_COLOUR_SPACE)
        index = exif.get_ifd(_INTEROP_IFD).get(_INDEX)
    except UNREADABLE:
        return False
    return space == _ADOBE_RGB_BY_MAKERS or (isinstance(index, str) and (index.rstrip("\0"), space) == _ADOBE_RGB)
