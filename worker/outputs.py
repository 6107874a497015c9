"""Files of one matte: laid out, composed, encoded, checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from jobs.output_params import OutputParams
from vision import placing
from vision.arrays import Alpha, RgbImage
from vision.codec.encode import DEEP
from vision.fitting import Encoded, idle
from vision.formats import PictureFormat
from vision.frame import Box, place
from vision.layers import keep_inside, lay_under
from vision.output import Encoding, check, render
from vision.paint import parse_paint
from vision.qc import bounds
from vision.region import locate
from vision.separate import make_mask, make_zip


@dataclass(frozen=True)
class Made:
    """One encoded output. Sizes in pixels; the box is the product's in the file, None where there is none.

    `quality` is the one that the file was written with, None where nothing is lost.
    """

    file: bytes
    quality: int | None
    width: int
    height: int
    upscaled: bool
    bbox_xyxy_px: Box | None


def make_output(
    foreground: RgbImage,
    alpha: Alpha,
    facts: Mapping[str, Any],
    params: OutputParams,
    *,
    progress: Callable[[], None] = idle,
) -> Made:
    """An output of the whole photo's foreground (H, W, 3) uint8 and alpha (H, W); `facts` as `vision.qc` measured them.

    `ImageError` where the region of interest is not in the photo, or the file can't be small enough;
    `BrokenPromiseError` where it is not what the service promises.
    """
    height, width = alpha.shape
    found = facts.get("bbox_xyxy_px")
    product = cast("Box", tuple(found)) if found else None
    if (region := params.region()) is not None:
        alpha = keep_inside(alpha, locate(region, (height, width)))
        product = bounds(alpha)
    placement = place((height, width), product, params.frame())
    colours, placed_alpha = placing.apply(placement, foreground, alpha)
    if params.depth == DEEP:
        placed_alpha = placing.apply_alpha(placement, alpha)
    made = _encode(colours, placed_alpha, params, progress)
    landed = None if product is None else placement.landed(product)
    height, width = placement.canvas_hw
    return Made(made.file, made.quality, width, height, placement.is_upscaled, landed)


def _encode(colours: RgbImage, alpha: Alpha, params: OutputParams, progress: Callable[[], None]) -> Encoded:
    if params.format == "zip":
        return make_zip(
            colours,
            alpha,
            quality=params.quality,
            max_bytes=params.max_bytes,
            depth=params.depth,
            progress=progress,
        )
    encoding = Encoding(
        cast("PictureFormat", params.format),
        quality=params.quality,
        max_bytes=params.max_bytes,
        is_lossless=params.lossless,
        progress=progress,
    )
    if params.channels == "alpha":
        return make_mask(alpha, encoding, depth=params.depth)
    paint = parse_paint(params.background)
    if paint.is_there and not paint.is_opaque:
        colours, alpha = lay_under(colours, alpha, paint)
    background = paint.colour if paint.is_opaque else None
    made = render(colours, alpha, encoding, background=background)
    check(made.file, alpha, encoding, background=background)
    return made
