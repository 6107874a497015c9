"""From alpha and foreground to the file that a caller gets, checked after encoding: for the command and the workers."""

import cv2
import numpy as np

from vision.arrays import Alpha, Mask, RgbImage
from vision.codec.encode import JPEG_QUALITY, WEBP_QUALITY, OutputFormat, encode_jpeg, encode_png, encode_webp
from vision.codec.verify import foreign_parts, verify_background, verify_hidden
from vision.compose import WHITE, cutout, flatten
from vision.cutout import make_cutout, prepare_subject
from vision.layers import lay_under
from vision.numeric import alpha_to_uint8
from vision.paint import Colour, Paint

_EXACT_IN_JPEG = {0, 255}
_WEBP_REACH = 33
_WEBP_LEVELS = 8


class BrokenPromiseError(Exception):
    """An encoded file is not what the service promises; it must not be delivered. A fault of this program."""


def warm_up() -> None:
    """Make the machine code of all loops over pixels, or load what an earlier start kept, before the first photo."""
    image = np.full((64, 64, 3), 40, np.uint8)
    image[16:48, 16:48] = 200
    logits = np.where(image[::4, ::4, 0] > 100, 2, -2).astype(np.float32)  # noqa: PLR2004
    made = make_cutout(prepare_subject(image, None), logits)
    for background in (None, WHITE):
        encoded = render(made.foreground, made.alpha, format="png", background=background)
        check(encoded, made.alpha, format="png", background=background)
    lay_under(made.foreground, made.alpha, Paint(WHITE, 128))


def render(
    foreground: RgbImage,
    alpha: Alpha,
    *,
    format: OutputFormat,  # noqa: A002
    background: Colour | None,
    quality: int | None = None,
) -> bytes:
    """Compose and encode. foreground (H, W, 3) uint8, alpha (H, W); `background` None keeps it transparent.

    `quality` of the lossy formats, 1 to 100; None is their own default.
    ValueError for a JPEG without a background: it has no transparency.
    """
    if background is None:
        if format == "jpg":
            raise ValueError("a JPEG needs a background colour")
        rgba = cutout(foreground, alpha)
        return encode_png(rgba) if format == "png" else encode_webp(rgba, quality=quality or WEBP_QUALITY)
    flat = flatten(foreground, alpha, background)
    if format == "jpg":
        return encode_jpeg(flat, hidden(alpha), quality=quality or JPEG_QUALITY)
    return encode_png(flat) if format == "png" else encode_webp(flat, quality=quality or WEBP_QUALITY)


def hidden(alpha: Alpha) -> Mask:
    """Where nothing of the photo may show: alpha 0 in eight bits."""
    mask: Mask = alpha_to_uint8(alpha) == 0
    return mask


def check(encoded: bytes, alpha: Alpha, *, format: OutputFormat, background: Colour | None) -> None:  # noqa: A002
    """Read the file back: no metadata, nothing of the photo under alpha 0, the background exactly its colour.

    Lossy files spill a little over the edge by their nature; there the colour is held to where the format can hold it:
    a JPEG's 0 and 255, a WebP's ground at least 16 pixels from the product, to eight levels. `BrokenPromiseError`.
    """
    if parts := foreign_parts(encoded):
        raise BrokenPromiseError(f"{format} file with foreign parts: {', '.join(parts)}")
    if format == "webp":
        far = cv2.erode(hidden(alpha).astype(np.uint8), np.ones((_WEBP_REACH, _WEBP_REACH), np.uint8), borderValue=1)
        found = verify_background(encoded, far.astype(np.bool_), background or (0, 0, 0))
        if found.worst > _WEBP_LEVELS:
            raise BrokenPromiseError(f"background off by up to {found.worst} in a webp file")
        return
    if background is None:
        found = verify_hidden(encoded)
    elif format == "png" or set(background) <= _EXACT_IN_JPEG:
        found = verify_background(encoded, hidden(alpha), background)
    else:
        return
    if not found.is_exact:
        raise BrokenPromiseError(f"{found.wrong_px} background pixels off by up to {found.worst} in a {format} file")
