"""Files of one matte: laid out, composed, encoded, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from jobs.output_params import OutputParams
from vision import placing
from vision.arrays import Alpha, RgbImage
from vision.codec.encode import OutputFormat
from vision.compose import parse_colour
from vision.frame import Box, place
from vision.output import check, render


@dataclass(frozen=True)
class Made:
    """One encoded output. Sizes in pixels."""

    file: bytes
    width: int
    height: int
    upscaled: bool


def make_output(foreground: RgbImage, alpha: Alpha, facts: Mapping[str, Any], params: OutputParams) -> Made:
    """An output of the whole photo's foreground (H, W, 3) uint8 and alpha (H, W); `facts` as `vision.qc` measured them.

    `BrokenPromiseError` where the file is not what the service promises.
    """
    height, width = alpha.shape
    box = facts.get("bbox_xyxy_px")
    placement = place((height, width), cast("Box", tuple(box)) if box else None, params.frame())
    colours, placed_alpha = placing.apply(placement, foreground, alpha)
    output_format = cast("OutputFormat", params.format)
    background = parse_colour(params.background)
    file = render(colours, placed_alpha, format=output_format, background=background, quality=params.quality)
    check(file, placed_alpha, format=output_format, background=background)
    return Made(file, placement.canvas_hw[1], placement.canvas_hw[0], placement.is_upscaled)
