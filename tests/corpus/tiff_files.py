"""TIFFs of every kind that is read, and of those that are refused."""

import struct
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

import numpy as np
import tifffile
from PIL import Image

from tests.corpus.profiles import cmyk_profile, inks_lab, lab_to_srgb
from tests.corpus.sample import Sample, alpha_ramp, as_rgb, deepened, drawing, grey_of, plain_cmyk, refused
from tests.corpus.tiffs import BLACK_IS_ZERO, CMYK, LAB, MASK, PALETTE, RGB, YCBCR, Page, tiff
from tests.photo_files import adobe_rgb_profile, adobe_rgb_to_srgb, quadrants, save, stored_for

PICTURE = drawing()
HW = PICTURE.shape[:2]
WIDTH_TWICE = 2 * HW[1]
GREY = grey_of(PICTURE)
ALPHA = alpha_ramp(HW)
INKS = np.random.default_rng(5).integers(0, 256, (*HW, 4)).astype(np.uint8)
# Bright ones: the library maps black to black, where the plain formulas of the reference do not.
_BRIGHT = np.array([[0, 0, 255, 0], [0, 255, 0, 0], [0, 255, 255, 0], [0, 0, 0, 255]], np.uint8)
FULL_INKS = _BRIGHT[np.random.default_rng(6).integers(0, 4, HW)]


def samples() -> Iterator[Sample]:
    yield from _layouts()
    yield from _depths()
    yield from _alpha()
    yield from _inks()
    yield from _turned()
    yield from _others()
    yield from _pages()
    yield from _refused()


def _layouts() -> Iterator[Sample]:
    """Byte orders, compressions, strips, tiles, planes."""
    for order in "<>":
        for compression in (1, 5, 8, 32773, 32946):
            for shape in ({}, {"rows_per_strip": 7}, {"tile_hw": (16, 16)}):
                page = Page(PICTURE, RGB, compression=compression, **shape)
                yield Sample(
                    f"tiff-{order}-{compression}-{next(iter(shape), 'whole')}", tiff(page, order=order), PICTURE
                )
    for compression in (1, 5, 8):
        for shape in ({}, {"rows_per_strip": 9}, {"tile_hw": (16, 16)}):
            name = f"tiff-planes-{compression}-{next(iter(shape), 'whole')}"
            yield Sample(name, tiff(Page(PICTURE, RGB, planar=2, compression=compression, **shape)), PICTURE)
    yield Sample("bigtiff", tiff(Page(PICTURE, RGB, compression=8), big=True), PICTURE)
    for compression in (5, 8):
        yield Sample(
            f"tiff-predicted-{compression}", tiff(Page(PICTURE, RGB, compression=compression, predictor=2)), PICTURE
        )
    out = BytesIO()
    tifffile.imwrite(out, PICTURE, photometric="rgb", compression="zlib", tile=(16, 16))
    yield Sample("tiff-by-tifffile", out.getvalue(), PICTURE)
    yield Sample("tiff-jpeg", save(quadrants(), "TIFF", compression="jpeg", quality=95), quadrants(), within=40)
    for name, compression in (("lzw", "tiff_lzw"), ("deflate", "tiff_adobe_deflate"), ("none", None)):
        yield Sample(f"tiff-by-pillow-{name}", save(PICTURE, "TIFF", compression=compression), PICTURE)


def _depths() -> Iterator[Sample]:
    """1 to 16 bits, white first and black first, palettes."""
    for order in "<>":
        for bits in (1, 2, 4, 8):
            most = (1 << bits) - 1
            levels = GREY.astype(np.int64) >> 8 - bits
            shown = as_rgb((levels * 255 // most).astype(np.uint8))
            for photometric in (0, 1):
                stored = most - levels if photometric == 0 else levels
                name = f"tiff-{order}-{bits}-bit-{'white' if photometric == 0 else 'black'}-is-0"
                yield Sample(name, tiff(Page(stored, photometric, bits=bits), order=order), shown)
            palette = np.random.default_rng(bits).integers(0, 256, (1 << bits, 3))
            colours = {320: ("H", (palette.T * 257).reshape(-1).tolist())}
            shown = palette[levels].astype(np.uint8)
            yield Sample(
                f"tiff-{order}-palette-{bits}", tiff(Page(levels, PALETTE, bits=bits, more=colours), order=order), shown
            )
        for compression in (1, 5, 8):
            deep = tiff(Page(deepened(GREY), BLACK_IS_ZERO, bits=16, compression=compression), order=order)
            yield Sample(f"tiff-{order}-grey-16-{compression}", deep, as_rgb(GREY))
            deep = tiff(Page(deepened(PICTURE), RGB, bits=16, compression=compression), order=order)
            yield Sample(f"tiff-{order}-rgb-16-{compression}", deep, PICTURE)
        yield Sample(
            f"tiff-{order}-rgb-16-planes",
            tiff(Page(deepened(PICTURE), RGB, bits=16, planar=2, compression=8), order=order),
            PICTURE,
        )
        yield Sample(
            f"tiff-{order}-cmyk-16", tiff(Page(deepened(INKS), CMYK, bits=16), order=order), plain_cmyk(INKS), within=1
        )
    white = 65535 - deepened(GREY)
    yield Sample("tiff-grey-16-white-is-0", tiff(Page(white, 0, bits=16)), as_rgb(GREY))
    for fill in (1, 2):
        bits = (GREY > 120).astype(np.uint8)
        page = Page(bits, BLACK_IS_ZERO, bits=1, fill_order=fill)
        yield Sample(f"tiff-fill-order-{fill}", tiff(page), as_rgb(bits * 255))
    for compression in ("group3", "group4", "tiff_ccitt"):
        one = Image.fromarray(GREY > 120)
        yield Sample(
            f"tiff-fax-{compression}", save(one, "TIFF", compression=compression), as_rgb((GREY > 120) * np.uint8(255))
        )


def _alpha() -> Iterator[Sample]:
    rgba = np.dstack([PICTURE, ALPHA])
    for order in "<>":
        for compression in (1, 5):
            straight = tiff(Page(rgba, RGB, extra=[2], compression=compression), order=order)
            yield Sample(f"tiff-{order}-rgba-{compression}", straight, PICTURE, ALPHA)
            unknown = tiff(Page(rgba, RGB, extra=[0], compression=compression), order=order)
            yield Sample(f"tiff-{order}-rgbx-{compression}", unknown, PICTURE)
            deep = tiff(Page(deepened(rgba), RGB, extra=[2], bits=16, compression=compression), order=order)
            yield Sample(f"tiff-{order}-rgba-16-{compression}", deep, PICTURE, ALPHA)
        grey = tiff(Page(np.dstack([GREY, ALPHA]), BLACK_IS_ZERO, extra=[2]), order=order)
        yield Sample(f"tiff-{order}-grey-alpha", grey, as_rgb(GREY), ALPHA)
    half = np.full(HW, 128, np.uint8)
    dimmed = (PICTURE.astype(int) * 128 // 255).astype(np.uint8)
    yield Sample("tiff-premultiplied", tiff(Page(np.dstack([dimmed, half]), RGB, extra=[1])), PICTURE, half, within=2)


def _inks() -> Iterator[Sample]:
    for order in "<>":
        for compression in (1, 5, 8):
            yield Sample(
                f"tiff-{order}-cmyk-{compression}",
                tiff(Page(INKS, CMYK, compression=compression), order=order),
                plain_cmyk(INKS),
                within=1,
            )
    inverted = tiff(Page(255 - INKS, CMYK, more={336: ("B", [255, 0])}))
    yield Sample("tiff-cmyk-inverted", inverted, plain_cmyk(INKS), within=1)
    yield Sample("tiff-cmyk-dot-range", tiff(Page(INKS, CMYK, more={336: ("B", [0, 255])})), plain_cmyk(INKS), within=1)
    printed = tiff(Page(FULL_INKS, CMYK, more={34675: ("U", cmyk_profile())}))
    yield Sample("tiff-cmyk-profile", printed, lab_to_srgb(inks_lab(FULL_INKS)), within=4, icc="converted")
    lab = np.dstack([GREY // 2 + 64, PICTURE[..., 0] // 8, PICTURE[..., 1] // 8]).astype(np.int64)
    meant = np.dstack([lab[..., 0] / 2.55, lab[..., 1], lab[..., 2]])
    yield Sample("tiff-cielab", tiff(Page(lab, LAB)), lab_to_srgb(meant), within=4, icc="converted")
    calm = np.clip(PICTURE, 60, 200)
    wide = tiff(Page(calm, RGB, more={34675: ("U", adobe_rgb_profile())}))
    yield Sample("tiff-adobe-rgb", wide, adobe_rgb_to_srgb(calm), within=2, icc="converted")
    broken = tiff(Page(PICTURE, RGB, more={34675: ("U", b"no profile at all")}))
    yield Sample("tiff-broken-icc", broken, PICTURE, icc="broken")


def _turned() -> Iterator[Sample]:
    for turn in range(1, 9):
        for compression in (1, 5):
            stored = stored_for(PICTURE, turn)
            yield Sample(
                f"tiff-turn-{turn}-{compression}",
                tiff(Page(stored, RGB, orientation=turn, compression=compression)),
                PICTURE,
            )
        stored = Image.fromarray(stored_for(quadrants(), turn))
        jpeg = save(stored, "TIFF", compression="jpeg", quality=95, tiffinfo={274: turn})
        yield Sample(f"tiff-turn-{turn}-jpeg", jpeg, quadrants(), within=40)
    for wrong in (0, 9, 65535):
        yield Sample(f"tiff-turn-{wrong}", tiff(Page(PICTURE, RGB, orientation=wrong)), PICTURE)
    xmp = {700: ("B", b'<rdf:Description tiff:Orientation="6"/>')}
    yield Sample("tiff-turn-in-xmp", tiff(Page(PICTURE, RGB, more=xmp)), PICTURE)


def _others() -> Iterator[Sample]:
    flat = np.full((*HW, 3), (100, 128, 128), np.uint8)
    yield Sample(
        "tiff-ycbcr-444", tiff(Page(flat, YCBCR, more={530: ("H", [1, 1])})), np.full((*HW, 3), 100, np.uint8), within=1
    )
    plain = tiff(Page(PICTURE, RGB))
    predictor = struct.pack("<HHIHH", 317, 3, 1, 1, 0)
    assert predictor in plain
    yield Sample("tiff-second-width", plain.replace(predictor, struct.pack("<HHII", 256, 4, 1, 3)), PICTURE)
    broken = {34665: ("I", [3]), 34853: ("I", [2**32 - 8])}
    yield Sample("tiff-broken-exif", tiff(Page(PICTURE, RGB, more=broken)), PICTURE)
    for hw in ((1, 1), (1, 200), (200, 1), (129, 7)):
        odd = np.full((*hw, 3), (90, 120, 60), np.uint8)
        yield Sample(f"tiff-{hw[1]}x{hw[0]}", tiff(Page(odd, RGB, compression=5)), odd)


def _pages() -> Iterator[Sample]:
    first, second = Page(PICTURE, RGB, compression=5), Page(PICTURE[::-1], RGB)
    small = Page(PICTURE[::2, ::2], RGB, more={254: ("I", [1])})
    mask = Page((GREY > 99).astype(np.uint8), MASK, bits=1, more={254: ("I", [4])})
    yield refused("tiff-two-pages", tiff(first, second), "animated_image")
    yield Sample("tiff-first-page", tiff(first, second), PICTURE, animated="first_frame")
    yield Sample("tiff-thumbnail", tiff(first, small), PICTURE)
    yield Sample("tiff-mask", tiff(first, mask, small), PICTURE)
    yield refused("tiff-thumbnail-and-page", tiff(first, small, second), "animated_image")
    yield refused("bigtiff-two-pages", tiff(first, second, big=True), "animated_image")


def _refused() -> Iterator[Sample]:
    def no(name: str, page: Page, code: str = "invalid_file_type") -> Sample:
        return refused(f"tiff-{name}", tiff(page), code)

    ramp = np.linspace(0, 1, HW[0] * HW[1]).reshape(HW)
    yield refused("bigtiff-big-endian", tiff(Page(PICTURE, RGB), order=">", big=True), "invalid_file_type")
    yield no("float-32", Page(ramp.astype(np.float32), BLACK_IS_ZERO, bits=32, more={339: ("H", [3])}))
    yield no("float-64", Page(ramp, BLACK_IS_ZERO, bits=64, more={339: ("H", [3])}))
    yield no("float-16", Page(ramp.astype(np.float16).view(np.uint16), BLACK_IS_ZERO, bits=16, more={339: ("H", [3])}))
    yield no("signed-8", Page(GREY, BLACK_IS_ZERO, more={339: ("H", [2])}))
    yield no("signed-16", Page(deepened(GREY), BLACK_IS_ZERO, bits=16, more={339: ("H", [2])}))
    yield no("uint-32", Page(deepened(GREY).astype(np.uint32), BLACK_IS_ZERO, bits=32))
    yield no("mixed-bits", Page(PICTURE, RGB, more={258: ("H", [8, 8, 16])}))
    yield no("old-jpeg", Page(PICTURE, RGB, more={259: ("H", [6])}))
    for method in (9, 10, 34712, 34892, 34925, 50000, 50001, 34661):
        yield no(f"method-{method}", Page(PICTURE, RGB, more={259: ("H", [method])}))
    yield no("logluv", Page(PICTURE, 32845))
    yield no("icclab", Page(PICTURE, 9))
    yield no("raw-colours", Page(GREY, 32803))
    yield no("dng", Page(PICTURE, RGB, more={50706: ("B", [1, 4, 0, 0])}))
    yield no("raw-with-thumbnail-first", Page(PICTURE, RGB, more={254: ("I", [1])}))
    yield no("lab-16", Page(deepened(PICTURE), LAB, bits=16))
    yield no("grey-16-of-three", Page(deepened(PICTURE), BLACK_IS_ZERO, bits=16, extra=[2, 0]))
    yield no("too-few-channels", Page(PICTURE[..., :2], RGB))
    yield no("ycbcr-subsampled", Page(PICTURE, YCBCR, more={530: ("H", [2, 2])}))
    yield no("fax-of-colours", Page(PICTURE, RGB, more={259: ("H", [4])}))
    yield no("no-pixels", Page(PICTURE, RGB, more={256: ("I", [0])}), "failed_to_read_image")
    yield no("no-width", Page(PICTURE, RGB, more={256: ("s", b"wide")}), "failed_to_read_image")
    yield no("far-too-wide", Page(PICTURE, RGB, more={256: ("I", [16_384])}), "resolution_too_high")
    yield no(
        "far-too-large",
        Page(PICTURE, RGB, more={tag: ("I", [9_000]) for tag in (256, 257, 278)}),
        "resolution_too_high",
    )
    yield no(
        "2^32", Page(PICTURE, RGB, more={tag: ("I", [2**32 - 1]) for tag in (256, 257, 278)}), "resolution_too_high"
    )
    twice = tiff(Page(PICTURE, RGB, more={256: ("I", [WIDTH_TWICE])}))
    yield refused("tiff-wider-than-its-data", twice, "failed_to_read_image", at_header=False)
    for name, shape in (("strips", {}), ("planes", {"planar": 2}), ("tiles", {"tile_hw": (16, 16)})):
        few = Page(PICTURE, RGB, more={257: ("I", [HW[0] * 10])}, **shape)
        rows = {} if "tile_hw" in shape else {278: ("I", [HW[0]])}
        yield no(f"too-few-{name}", replace(few, more=few.more | rows), "failed_to_read_image")
    huge = {322: ("I", [1 << 16]), 323: ("I", [1 << 16])}
    yield no("huge-tiles", Page(PICTURE, RGB, tile_hw=(16, 16), more=huge), "failed_to_read_image")
