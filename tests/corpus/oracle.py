"""What has to hold for any bytes at all."""

from vision.codec.decode import decode
from vision.codec.header import Limits, probe
from vision.errors import ImageError

LIMITS = Limits(max_megapixels=0.5, max_bytes=1 << 20)


def read_anything(data: bytes) -> bool:
    """Whether there is a picture, of the size that its header claims. Raises what must not be raised."""
    try:
        header = probe(data, LIMITS, animated="first_frame")
        decoded = decode(data, LIMITS, animated="first_frame")
    except ImageError:
        return False
    assert decoded.image.shape == (*header.upright_hw, 3)
    assert decoded.alpha is None or decoded.alpha.shape == header.upright_hw
    return True
