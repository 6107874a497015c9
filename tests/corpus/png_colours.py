"""PNGs that say which colours they mean, by chunks of their own, by a profile, or by several that disagree."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from tests.corpus.profiles import (
    BT2020_TO_XYZ,
    P3_TO_XYZ,
    XYZ_TO_SRGB,
    p3_profile,
    p3_profile_to_srgb,
    srgb_levels,
    to_srgb,
)
from tests.corpus.sample import Sample, alpha_ramp, as_rgb, deepened, drawing, grey_of, refused
from tests.photo_files import adobe_rgb_to_srgb, chunk, raw_png

PICTURE = np.clip(drawing(), 60, 200)
"""Calm colours: those outside sRGB are mapped by the library, and cut off by the formulas of the reference."""
HW = PICTURE.shape[:2]
WH = HW[1], HW[0]
GREY, ALPHA = grey_of(PICTURE), alpha_ramp(HW)
ROWS = b"".join(b"\0" + row.tobytes() for row in PICTURE)

SRGB_PLACES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
ADOBE_PLACES = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
P3_PLACES = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
# XYZ (D65) of Adobe RGB (1998), annex B of its specification.
ADOBE_TO_XYZ = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])


def samples() -> Iterator[Sample]:
    yield from _cicp()
    yield from _gamma_and_places()
    yield from _precedence()
    yield from _other_kinds()
    yield from _worthless()


def cicp(primaries: int, transfer: int, matrix: int = 0, full: int = 1) -> bytes:
    return chunk(b"cICP", bytes((primaries, transfer, matrix, full)))


def gama(number: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", number))


def chrm(places: tuple[int, ...]) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *places))


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"profile\0\0" + zlib.compress(profile))


SRGB = chunk(b"sRGB", b"\0")


def png(*before: bytes) -> bytes:
    return raw_png(WH, 8, 2, ROWS, before_pixels=b"".join(before))


def by_power(image: np.ndarray, gamma: float, to_xyz: np.ndarray | None = None) -> np.ndarray:
    """What is meant by a power and primaries (sRGB's for None) with the white of daylight."""
    light = (image / 255.0) ** gamma
    return srgb_levels(light if to_xyz is None else light @ to_xyz.T @ XYZ_TO_SRGB.T)


def _cicp() -> Iterator[Sample]:
    for transfer in (1, 6, 13, 14, 15):
        yield Sample(f"PNG-cicp-srgb-{transfer}", png(cicp(1, transfer)), PICTURE, icc="none")
    for name, primaries, to_xyz in (("p3", 12, P3_TO_XYZ), ("bt2020", 9, BT2020_TO_XYZ)):
        meant = to_srgb(PICTURE, to_xyz)
        yield Sample(f"PNG-cicp-{name}", png(cicp(primaries, 13)), meant, within=4, icc="converted")
    for transfer, gamma in ((4, 2.2), (5, 2.8), (8, 1.0)):
        data = png(cicp(1, transfer))
        yield Sample(f"PNG-cicp-gamma-{transfer}", data, by_power(PICTURE, gamma), within=2)
    data = png(cicp(12, 4))
    yield Sample("PNG-cicp-p3-power", data, by_power(PICTURE, 2.2, P3_TO_XYZ), within=4, icc="converted")
    for transfer in (16, 18):
        for primaries in (1, 9, 200):
            yield refused(f"PNG-hdr-{transfer}-{primaries}", png(cicp(primaries, transfer)), "invalid_file_type")
    yield refused("PNG-hdr-with-profile", png(iccp(p3_profile()), cicp(9, 16)), "invalid_file_type")
    yield refused("PNG-video-range", png(cicp(1, 13, full=0)), "invalid_file_type")


def _gamma_and_places() -> Iterator[Sample]:
    for number in (45455, 45454, 45000, 46000):
        yield Sample(f"PNG-gama-{number}", png(gama(number)), PICTURE, icc="none")
        yield Sample(f"PNG-gama-{number}-srgb-places", png(gama(number), chrm(SRGB_PLACES)), PICTURE, icc="none")
    yield Sample("PNG-srgb-places", png(chrm(SRGB_PLACES)), PICTURE, icc="none")
    near = tuple(place + 5 for place in SRGB_PLACES)
    yield Sample("PNG-nearly-srgb-places", png(chrm(near), gama(45455)), PICTURE, icc="none")
    for number, gamma in ((55556, 1.8), (100_000, 1.0), (38462, 2.6)):
        data = png(gama(number))
        yield Sample(f"PNG-gama-{number}", data, by_power(PICTURE, gamma), within=2, icc="converted")
    data = png(gama(45470), chrm(ADOBE_PLACES))
    yield Sample("PNG-adobe-rgb-places", data, adobe_rgb_to_srgb(PICTURE), within=2, icc="converted")
    data = png(chrm(P3_PLACES), gama(55556))
    yield Sample("PNG-p3-places-1.8", data, by_power(PICTURE, 1.8, P3_TO_XYZ), within=4, icc="converted")
    yield Sample("PNG-p3-places", png(chrm(P3_PLACES)), to_srgb(PICTURE, P3_TO_XYZ), within=4, icc="converted")
    data = png(chrm(ADOBE_PLACES))
    yield Sample("PNG-adobe-places", data, to_srgb(PICTURE, ADOBE_TO_XYZ), within=2, icc="converted")


def _precedence() -> Iterator[Sample]:
    """cICP before iCCP before sRGB before gAMA and cHRM, in whatever order they stand."""
    dark, p3 = gama(100_000), chrm(P3_PLACES)
    by_profile = p3_profile_to_srgb(PICTURE)
    for number, turn in enumerate((1, -1)):
        yield Sample(f"PNG-srgb-over-gama-{number}", png(*(SRGB, dark, p3)[::turn]), PICTURE, icc="none")
        data = png(*(iccp(p3_profile()), SRGB, dark)[::turn])
        yield Sample(f"PNG-iccp-over-srgb-{number}", data, by_profile, within=4, icc="converted")
        data = png(*(iccp(p3_profile()), cicp(1, 13), dark)[::turn])
        yield Sample(f"PNG-cicp-over-iccp-{number}", data, PICTURE, icc="none")
        data = png(*(SRGB, cicp(9, 13), dark)[::turn])
        yield Sample(f"PNG-cicp-over-srgb-{number}", data, to_srgb(PICTURE, BT2020_TO_XYZ), within=4)
    first = png(gama(55556), gama(100_000))
    yield Sample("PNG-first-gama", first, by_power(PICTURE, 1.8), within=2)


def _other_kinds() -> Iterator[Sample]:
    grey_rows = b"".join(b"\0" + row.tobytes() for row in GREY)
    data = raw_png(WH, 8, 0, grey_rows, before_pixels=gama(55556))
    yield Sample("PNG-grey-gama", data, by_power(as_rgb(GREY), 1.8), within=2)
    data = raw_png(WH, 8, 0, grey_rows, before_pixels=gama(45455))
    yield Sample("PNG-grey-gama-45455", data, as_rgb(GREY))
    rgba = np.dstack([PICTURE, ALPHA])
    rows = b"".join(b"\0" + row.tobytes() for row in rgba)
    data = raw_png(WH, 8, 6, rows, before_pixels=cicp(12, 13))
    yield Sample("PNG-rgba-cicp-p3", data, to_srgb(PICTURE, P3_TO_XYZ), ALPHA, within=4)
    rows = b"".join(b"\0" + row.tobytes() for row in deepened(PICTURE).astype(">u2"))
    data = raw_png(WH, 16, 2, rows, before_pixels=gama(55556))
    yield Sample("PNG-16-gama", data, by_power(PICTURE, 1.8), within=2)
    palette = np.clip(np.random.default_rng(4).integers(0, 256, (256, 3)), 60, 200).astype(np.uint8)
    before = chrm(P3_PLACES) + chunk(b"PLTE", palette.tobytes())
    data = raw_png(WH, 8, 3, grey_rows, before_pixels=before)
    yield Sample("PNG-palette-p3", data, to_srgb(palette[GREY], P3_TO_XYZ), within=4)


def _worthless() -> Iterator[Sample]:
    """Chunks that say nothing, for which the next in the order counts, or sRGB."""
    for name, before in (
        ("gama-0", (gama(0),)),
        ("gama-1", (gama(1),)),
        ("gama-2^32", (gama(2**32 - 1),)),
        ("gama-long", (chunk(b"gAMA", bytes(5)),)),
        ("chrm-0", (chrm((0,) * 8),)),
        ("chrm-in-a-line", (chrm((31270, 32900) + (30000, 30000) * 3),)),
        ("chrm-2^32", (chrm((2**32 - 1,) * 8),)),
        ("chrm-without-light", (chrm((31270, 32900, 64000, 0, 30000, 60000, 15000, 6000)),)),
        ("cicp-ycbcr", (cicp(9, 13, matrix=1),)),
        ("cicp-hdr-ycbcr", (cicp(9, 16, matrix=9),)),
        ("cicp-of-no-primaries", (cicp(200, 13),)),
        ("cicp-unsaid", (cicp(2, 2),)),
        ("cicp-long", (chunk(b"cICP", bytes((9, 16, 0, 1, 0))),)),
    ):
        yield Sample(f"PNG-{name}", png(*before), PICTURE, icc="none")
    next_one = png(cicp(200, 13), iccp(p3_profile()))
    yield Sample("PNG-cicp-worthless-then-iccp", next_one, p3_profile_to_srgb(PICTURE), within=4, icc="converted")
    late = png()
    end = late.index(b"IEND") - 4
    late = late[:end] + cicp(9, 16) + gama(100_000) + late[end:]
    yield Sample("PNG-colours-behind-the-pixels", late, PICTURE, icc="none")
