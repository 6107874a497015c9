"""Files of one matte: laid out, composed, encoded, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from jobs.output_params import OutputParams
from vision import placing
from vision.arrays import Alpha, RgbImage
from vision.codec.encode import OutputFormat
from vision.frame import Box, place
from vision.layers import keep_inside, lay_under
from vision.output import check, render
from vision.paint import parse_paint
from vision.qc import bounds
from vision.region import locate
from vision.separate import make_mask, make_zip


@dataclass(frozen=True)
class Made:
    """One encoded output. Sizes in pixels; the box is the product's in the file, None where there is none."""

    file: bytes
    width: int
    height: int
    upscaled: bool
    bbox_xyxy_px: Box | None


def make_output(foreground: RgbImage, alpha: Alpha, facts: Mapping[str, Any], params: OutputParams) -> Made:
    """An output of the whole photo's foreground (H, W, 3) uint8 and alpha (H, W); `facts` as `vision.qc` measured them.

    `ImageError` where the region of interest is not in the photo, `BrokenPromiseError` where the file is not what the
    service promises.
    """
    height, width = alpha.shape
    found = facts.get("bbox_xyxy_px")
    product = cast("Box", tuple(found)) if found else None
    if (region := params.region()) is not None:
        alpha = keep_inside(alpha, locate(region, (height, width)))
        product = bounds(alpha)
    placement = place((height, width), product, params.frame())
    colours, placed_alpha = placing.apply(placement, foreground, alpha)
    file = _encode(colours, placed_alpha, params)
    landed = None if product is None else placement.landed(product)
    return Made(file, placement.canvas_hw[1], placement.canvas_hw[0], placement.is_upscaled, landed)


def _encode(colours: RgbImage, alpha: Alpha, params: OutputParams) -> bytes:
    if params.format == "zip":
        return make_zip(colours, alpha, quality=params.quality)
    output_format = cast("OutputFormat", params.format)
    if params.channels == "alpha":
        return make_mask(alpha, format=output_format, quality=params.quality)
    paint = parse_paint(params.background)
    if paint.is_there and not paint.is_opaque:
        colours, alpha = lay_under(colours, alpha, paint)
    background = paint.colour if paint.is_opaque else None
    file = render(colours, alpha, format=output_format, background=background, quality=params.quality)
    check(file, alpha, format=output_format, background=background)
    return file
