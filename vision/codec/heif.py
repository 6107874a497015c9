"""The pixels of a HEIF, by libheif and libde265 (decision 0015). Nothing is registered with Pillow."""

from io import BytesIO
from typing import Final, NamedTuple

import numpy as np
import pi_heif
from PIL import Image

from vision.codec.depth import to_8_bits

_DEEP: Final = frozenset({"I;16", "I;16L", "L;16"})


class HeifPicture(NamedTuple):
    """`picture` of mode L, LA, RGB or RGBA, cropped and upright: libheif applies both. `icc` or None."""

    picture: Image.Image
    icc: bytes | None


def read_heif(data: bytes, upright_hw: tuple[int, int]) -> HeifPicture:
    """Decode the primary picture, of the size that its header claims.

    Raises what libheif raises: ValueError, EOFError, SyntaxError, RuntimeError, OSError; ValueError for another size.
    """
    file = pi_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=True, remove_stride=False)
    found = file[file.primary_index]
    wh = upright_hw[1], upright_hw[0]
    if found.size != wh:
        raise ValueError("libheif reads another size than the header claims")
    pixels, stride = found.data, found.stride
    if found.size != wh:
        raise ValueError("the picture has another size than the header claims")
    # The pixels are libheif's memory and go with `file`, which no view of them keeps alive: they are copied here.
    if found.mode in _DEEP:
        wide = np.frombuffer(pixels, "<u2").reshape(wh[1], stride // 2)[:, : wh[0]]
        picture = Image.fromarray(to_8_bits(wide))
    else:
        picture = Image.frombytes(found.mode, wh, pixels, "raw", found.mode, stride)
    return HeifPicture(picture, found.info.get("icc_profile"))
