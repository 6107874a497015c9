"""Which colours a PNG means (PNG Third Edition, W3C 2025, sections 4.3 and 11.3.2), in the order that browsers take.

cICP counts more than iCCP, that more than sRGB, that more than gAMA and cHRM. Of these two either may stand alone; the
other is sRGB's then.
"""

import struct
from io import BytesIO
from typing import BinaryIO, Final, NamedTuple

from vision.codec.profiles import BT2020, DISPLAY_P3, SRGB, Chromaticities, profile_of
from vision.errors import ImageError

_SIGNATURE_BYTES: Final = 8
_SIZES: Final = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}
_PRIMARIES: Final[dict[int, Chromaticities]] = {
    1: SRGB,
    4: Chromaticities((0.310, 0.316), (0.670, 0.330), (0.210, 0.710), (0.140, 0.080)),
    5: Chromaticities(SRGB.white, (0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    6: Chromaticities(SRGB.white, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: Chromaticities(SRGB.white, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    9: BT2020,
    11: Chromaticities((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: DISPLAY_P3,
    22: Chromaticities(SRGB.white, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
"""Of ITU-T H.273, table 2."""
_GAMMAS: Final[dict[int, float | None]] = {
    1: None, 6: None, 13: None, 14: None, 15: None, 4: 2.2, 5: 2.8, 8: 1.0,
}  # fmt: skip
"""Transfer characteristics of H.273, table 3. Those of television are near to sRGB's, and taken for it as in AVIF."""
_HDR: Final = frozenset({16, 18})
"""PQ and HLG."""
_SRGB_GAMMA: Final = 2.2
_SAME_GAMMA: Final = 0.05
"""Within so much, as a share, a gamma with sRGB's primaries is sRGB's curve (libpng's PNG_GAMMA_THRESHOLD): that is
what writers mean by 45455."""
_SAME_PLACE: Final = 0.002


class _Cicp(NamedTuple):
    primaries: int
    transfer: int
    matrix: int
    is_full_range: int

    @property
    def is_rgb(self) -> bool:
        """A PNG holds no other; a chunk that says so is not valid and counts for nothing."""
        return self.matrix == 0


def check_range(stream: BinaryIO) -> None:
    """Refuse a PNG whose cICP says HDR or levels of video range. The stream is left at its start.

    Raises ImageError invalid_file_type.
    """
    cicp = _cicp(_chunks(stream))
    stream.seek(0)
    if cicp is None:
        return
    if cicp.transfer in _HDR:
        raise ImageError("invalid_file_type", "The picture is HDR (PQ, HLG); send it as plain sRGB.")
    if not cicp.is_full_range:
        raise ImageError(
            "invalid_file_type", "The PNG's levels are those of video (16 to 235), which is not read here."
        )


def profile_of_png(data: bytes, icc_profile: bytes | None) -> bytes | None:
    """The ICC profile to read the colours by, `icc_profile` being that of iCCP; None where they are sRGB."""
    chunks = _chunks(BytesIO(data))
    cicp = _cicp(chunks)
    if cicp is not None and cicp.primaries in _PRIMARIES and cicp.transfer in _GAMMAS:
        return _profile(_PRIMARIES[cicp.primaries], _GAMMAS[cicp.transfer])
    if icc_profile:
        return bytes(icc_profile)
    if b"sRGB" in chunks:
        return None
    colours, gamma = _chromaticities(chunks.get(b"cHRM")), _gamma(chunks.get(b"gAMA"))
    if gamma is not None and _is_srgb(colours) and abs(gamma / _SRGB_GAMMA - 1) <= _SAME_GAMMA:
        return None
    return _profile(colours, gamma)


def _chunks(stream: BinaryIO) -> dict[bytes, bytes]:
    """The first chunk of each kind that matters here, before the pixels."""
    found: dict[bytes, bytes] = {}
    stream.seek(_SIGNATURE_BYTES)
    while len(head := stream.read(8)) == 8 and head[4:] != b"IDAT":  # noqa: PLR2004 - length and kind
        size, kind = struct.unpack(">I4s", head)
        body = stream.read(size) if size == _SIZES.get(kind) else b""
        stream.seek(size - len(body) + 4, 1)
        if body:
            found.setdefault(kind, body)
    return found


def _cicp(chunks: dict[bytes, bytes]) -> _Cicp | None:
    cicp = _Cicp(*chunks[b"cICP"]) if b"cICP" in chunks else None
    return cicp if cicp is not None and cicp.is_rgb else None


def _chromaticities(chunk: bytes | None) -> Chromaticities:
    if chunk is None:
        return SRGB
    numbers = [number / 100_000 for number in struct.unpack(">8I", chunk)]
    white, red, green, blue = zip(numbers[::2], numbers[1::2], strict=True)
    return Chromaticities(white, red, green, blue)


def _gamma(chunk: bytes | None) -> float | None:
    encoded = 0 if chunk is None else int.from_bytes(chunk, "big")
    return 100_000 / encoded if encoded else None


def _profile(colours: Chromaticities, gamma: float | None) -> bytes | None:
    """None for sRGB, and for numbers that are no colours, which count for nothing as in browsers."""
    if _is_srgb(colours) and gamma is None:
        return None
    try:
        return profile_of(colours, gamma)
    except ValueError:
        return None


def _is_srgb(colours: Chromaticities) -> bool:
    return all(
        abs(value - meant) <= _SAME_PLACE
        for point, meant_point in zip(colours, SRGB, strict=True)
        for value, meant in zip(point, meant_point, strict=True)
    )
