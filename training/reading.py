"""Photos and masks off the disk, as the service reads them: upright and sRGB, or an error that says what is wrong."""

from pathlib import Path

import cv2
import numpy as np

from vision.arrays import Alpha
from vision.codec.decode import AlphaPlane, Decoded, decode
from vision.codec.header import Limits
from vision.errors import ImageError

LIMITS = Limits(max_megapixels=200.0, max_bytes=200 * 1024 * 1024)
"""Data sets hold larger photos than the service takes."""


class ReadError(Exception):
    """A file is no picture that can be read; the message names it."""


def read_picture(path: Path) -> Decoded:
    """Image (H, W, 3) and, where it is not opaque, alpha (H, W), both uint8 and upright. ReadError, OSError."""
    try:
        return decode(path.read_bytes(), LIMITS)
    except ImageError as error:
        raise ReadError(f"{path}: {error}") from error


def read_mask(path: Path) -> Alpha:
    """Brightness of a mask, (H, W) float32 in [0, 1]; what is transparent in it is not product. ReadError, OSError."""
    mask = read_picture(path)
    share = as_share(np.asarray(cv2.cvtColor(mask.image, cv2.COLOR_RGB2GRAY), np.uint8))
    return share if mask.alpha is None else share * as_share(mask.alpha)


def as_share(channel: AlphaPlane) -> Alpha:
    """uint8 to float32 in [0, 1]."""
    return channel.astype(np.float32) / np.float32(255)
