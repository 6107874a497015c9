"""From alpha and foreground to the file that a caller gets, checked after encoding: for the command and the workers."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from vision.arrays import Alpha, Mask, RgbImage
from vision.codec.encode import (
    AVIF_EXACT,
    encode_avif,
    encode_jpeg,
    encode_png,
    encode_png8,
    encode_tiff,
    encode_webp,
    encode_webp_lossless,
)
from vision.codec.parts import foreign_parts
from vision.codec.verify import verify_alpha, verify_background, verify_hidden
from vision.compose import WHITE, cutout, flatten
from vision.cutout import make_cutout, prepare_subject
from vision.fitting import Encoded, fit, idle, within
from vision.formats import FORMATS, PictureFormat
from vision.layers import lay_under
from vision.numeric import alpha_to_uint8
from vision.paint import Colour, Paint

_EXACT_IN_JPEG = {0, 255}
_LOSSY_REACH = 33
_LOSSY_LEVELS = 8


class BrokenPromiseError(Exception):
    """An encoded file is not what the service promises; it must not be delivered. A fault of this program."""


@dataclass(frozen=True)
class Encoding:
    """How pixels become a file.

    `quality`, 50 to 100, is the highest that a lossy format may take, None its own default. `max_bytes`: the file has
    no more; the quality is lowered as far as it takes. `is_lossless` is for webp, which can be either.
    """

    format: PictureFormat
    quality: int | None = None
    max_bytes: int | None = None
    is_lossless: bool = False
    progress: Callable[[], None] = idle
    """Called between encodings: a search takes a while."""

    @property
    def keeps_all(self) -> bool:
        """Whether every pixel comes back as it was; true of png8 for what it promises."""
        return self.is_lossless or FORMATS[self.format].quality is None

    @property
    def most(self) -> int:
        """The highest quality that may be taken; of formats that have one."""
        return self.quality or FORMATS[self.format].quality or 0


def warm_up() -> None:
    """Make the machine code of all loops over pixels, or load what an earlier start kept, before the first photo."""
    image = np.full((64, 64, 3), 40, np.uint8)
    image[16:48, 16:48] = 200
    # More colours than a palette has.
    image[20:44, 20:44, 1:] = np.random.default_rng(0).integers(150, 250, (24, 24, 2))
    logits = np.where(image[::4, ::4, 0] > 100, 2, -2).astype(np.float32)  # noqa: PLR2004
    made = make_cutout(prepare_subject(image, None), logits)
    for encoding in (Encoding("png"), Encoding("png8"), Encoding("avif")):
        for background in (None, WHITE):
            encoded = render(made.foreground, made.alpha, encoding, background=background)
            check(encoded.file, made.alpha, encoding, background=background)
    lay_under(made.foreground, made.alpha, Paint(WHITE, 128))


def render(foreground: RgbImage, alpha: Alpha, encoding: Encoding, *, background: Colour | None) -> Encoded:
    """Compose and encode. foreground (H, W, 3) uint8, alpha (H, W); `background` None keeps it transparent.

    ValueError for a JPEG without a background: it has no transparency. `ImageError` `output_too_large`.
    """
    if background is None and encoding.format == "jpg":
        raise ValueError("a JPEG needs a background colour")
    pixels = cutout(foreground, alpha) if background is None else flatten(foreground, alpha, background)
    ground = np.zeros(alpha.shape, np.bool_) if background is None else hidden(alpha)
    if encoding.keeps_all:
        return within(_lossless(pixels, ground, encoding.format), encoding.max_bytes)
    return fit(
        lambda quality: _lossy(pixels, ground, encoding, quality),
        most=encoding.most,
        max_bytes=encoding.max_bytes,
        progress=encoding.progress,
    )


def _lossless(pixels: RgbImage, ground: Mask, format: PictureFormat) -> bytes:  # noqa: A002
    match format:
        case "png8":
            return encode_png8(pixels, ground)
        case "webp":
            return encode_webp_lossless(pixels)
        case "tiff":
            return encode_tiff(pixels)
        case _:
            return encode_png(pixels)


def _lossy(pixels: RgbImage, ground: Mask, encoding: Encoding, quality: int) -> Encoded:
    match encoding.format:
        case "jpg":
            return Encoded(encode_jpeg(pixels, ground, quality=quality), quality)
        case "avif":
            return Encoded(*encode_avif(pixels, ground, quality=quality, progress=encoding.progress))
        case _:
            return Encoded(encode_webp(pixels, quality=quality), quality)


def hidden(alpha: Alpha) -> Mask:
    """Where nothing of the photo may show: alpha 0 in eight bits."""
    mask: Mask = alpha_to_uint8(alpha) == 0
    return mask


def check(encoded: bytes, alpha: Alpha, encoding: Encoding, *, background: Colour | None) -> None:
    """Read the file back: no metadata, nothing of the photo under alpha 0, the background exactly its colour.

    Lossy files spill a little over the edge by their nature; there the colour is held to where the format can hold it:
    a JPEG's 0 and 255, an AVIF's white and black, any other ground of a WebP or an AVIF at least 16 pixels from the
    product, to eight levels. `BrokenPromiseError`.
    """
    name = encoding.format
    if parts := foreign_parts(encoded):
        raise BrokenPromiseError(f"{name} file with foreign parts: {', '.join(parts)}")
    if background is None and name == "avif" and not verify_alpha(encoded, alpha_to_uint8(alpha)):
        raise BrokenPromiseError(f"{name} file with another alpha")
    is_avif_exact = name == "avif" and background in AVIF_EXACT
    if name in {"webp", "avif"} and not encoding.is_lossless and not is_avif_exact:
        far = cv2.erode(hidden(alpha).astype(np.uint8), np.ones((_LOSSY_REACH, _LOSSY_REACH), np.uint8), borderValue=1)
        found = verify_background(encoded, far.astype(np.bool_), background or (0, 0, 0))
        if found.worst > _LOSSY_LEVELS:
            raise BrokenPromiseError(f"background off by up to {found.worst} in a {name} file")
        return
    if background is None:
        found = verify_hidden(encoded)
    elif name != "jpg" or set(background) <= _EXACT_IN_JPEG:
        found = verify_background(encoded, hidden(alpha), background)
    else:
        return
    if not found.is_exact:
        raise BrokenPromiseError(f"{found.wrong_px} background pixels off by up to {found.worst} in a {name} file")
