"""An opened picture to colour and alpha of 8 bits, whatever its mode."""

from typing import Final, TypeAlias

import cv2
import numpy as np
from PIL import Image

from vision.codec.depth import to_8_bits
from vision.codec.header import ImageHeader
from vision.errors import ImageError

Planes: TypeAlias = tuple[Image.Image, Image.Image | None]
"""Colour of mode RGB, L, CMYK or LAB, and alpha of mode L where the picture has any."""

# Offsets in a PNG, whose IHDR stands first: 8 bytes of signature, 8 of chunk head, 8 of size.
_PNG_BITS: Final = 24
_PNG_COLOUR_TYPE: Final = 25
_PNG_GREY_TYPES: Final = (0, 4)
_BGRA: Final = 4
_PREMULTIPLIED: Final = {"La": "LA", "RGBa": "RGBA"}
_READY: Final = frozenset({"RGB", "L", "CMYK", "LAB"})


def planes_of(image: Image.Image, header: ImageHeader, data: bytes) -> Planes:
    """The planes of a picture that Pillow has read whole; `data` is its file. ImageError failed_to_read_image."""
    if header.format == "png" and data[_PNG_BITS] == 16:  # noqa: PLR2004
        return _deep_png(data, image.info.get("transparency"))
    if header.is_inverted and image.mode == "CMYK":
        image = Image.merge("CMYK", [band.point(_NEGATIVE) for band in image.split()])
    colour, alpha = _split(image)
    if header.format == "bmp" and alpha is not None and alpha.getextrema() == (0, 0):
        alpha = None  # programs that know no alpha leave it at 0
    return colour, alpha


_NEGATIVE: Final = [255 - level for level in range(256)]


def _split(image: Image.Image) -> Planes:
    if image.mode in _PREMULTIPLIED:
        image = image.convert(_PREMULTIPLIED[image.mode])
    if image.mode == "RGBA":
        return image.convert("RGB"), image.getchannel("A")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        grey = image.mode in {"1", "L", "LA"}
        return (rgba.getchannel("R") if grey else rgba.convert("RGB")), rgba.getchannel("A")
    if image.mode in _READY:
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def _deep_png(data: bytes, key: object) -> Planes:
    """16 bits a channel to 8, rounded; `key` is the one transparent level of a grey PNG, or None.

    Pillow cuts the low byte off; OpenCV keeps it, and reads here what Pillow has read whole before.
    """
    try:
        wide = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError("failed_to_read_image", "This 16 bit PNG cannot be read.") from error
    if wide is None or wide.dtype != np.uint16:
        raise ImageError("failed_to_read_image", "This kind of 16 bit PNG cannot be read.")
    planes = to_8_bits(wide).reshape(*wide.shape[:2], -1)
    alpha = Image.fromarray(planes[..., 3]) if planes.shape[2] == _BGRA else None
    if wide.ndim == 2 and key is not None:  # noqa: PLR2004
        alpha = Image.fromarray(np.where(wide == key, 0, 255).astype(np.uint8))
    if data[_PNG_COLOUR_TYPE] in _PNG_GREY_TYPES:
        return Image.fromarray(planes[..., 0]), alpha
    return Image.fromarray(np.ascontiguousarray(planes[..., 2::-1])), alpha
