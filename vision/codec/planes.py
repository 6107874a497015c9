"""An opened picture to colour and alpha of 8 bits, whatever its mode."""

from typing import Final, TypeAlias

from PIL import Image

from vision.codec.deep_png import BITS_AT, DEEP, planes_of_deep_png
from vision.codec.header import ImageHeader

Planes: TypeAlias = tuple[Image.Image, Image.Image | None]
"""Colour of mode RGB, L, CMYK or LAB, and alpha of mode L where the picture has any."""

_PREMULTIPLIED: Final = {"La": "LA", "RGBa": "RGBA"}
_READY: Final = frozenset({"RGB", "L", "CMYK", "LAB"})


def planes_of(image: Image.Image, header: ImageHeader, data: bytes) -> Planes:
    """The planes of a picture that Pillow has read whole; `data` is its file."""
    if header.format == "png" and data[BITS_AT] == DEEP:
        return planes_of_deep_png(image, data)
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
