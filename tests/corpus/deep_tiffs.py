"""TIFFs of 16 bits a channel, and of inks with alpha: every layout and meaning of their channels."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import tifffile

from tests.corpus.profiles import cmyk_profile, inks_lab, lab_to_srgb
from tests.corpus.sample import Sample, alpha_ramp, as_rgb, deepened, drawing, grey_of, plain_cmyk, refused
from tests.corpus.tiff_files import FULL_INKS, INKS
from tests.corpus.tiffs import BLACK_IS_ZERO, CMYK, RGB, Page, tiff
from tests.photo_files import adobe_rgb_profile, adobe_rgb_to_srgb, stored_for

PICTURE = drawing()
HW = PICTURE.shape[:2]
GREY, ALPHA = grey_of(PICTURE), alpha_ramp(HW)
RGBA, GREY_ALPHA = np.dstack([PICTURE, ALPHA]), np.dstack([GREY, ALPHA])
INKS_ALPHA = np.dstack([INKS, ALPHA])
WHITE_IS_ZERO = 0
PLAIN_INKS = plain_cmyk(INKS)


def samples() -> Iterator[Sample]:
    yield from _layouts()
    yield from _meanings()
    yield from _premultiplied()
    yield from _by_another_writer()
    yield from _coloured()
    yield from _damaged()


def _layouts() -> Iterator[Sample]:
    """Byte orders, compressions, predictors, strips, tiles, planes, both sizes of offsets."""
    kinds: tuple[tuple[str, int, int, np.ndarray, np.ndarray, int], ...] = (
        ("grey-alpha-16", BLACK_IS_ZERO, 16, GREY_ALPHA, as_rgb(GREY), 0),
        ("rgba-16", RGB, 16, RGBA, PICTURE, 0),
        ("cmyk-alpha-16", CMYK, 16, INKS_ALPHA, PLAIN_INKS, 1),
        ("cmyk-alpha", CMYK, 8, INKS_ALPHA, PLAIN_INKS, 1),
    )
    shapes: tuple[dict[str, Any], ...] = ({}, {"rows_per_strip": 7}, {"tile_hw": (16, 16)})
    for name, photometric, bits, levels, shown, within in kinds:
        stored = deepened(levels) if bits == 16 else levels
        for compression, predictor in ((1, 1), (5, 1), (8, 1), (5, 2), (8, 2), (32773, 1)):
            for number, shape in enumerate(shapes):
                for planar in (1, 2) if predictor == 1 else (1,):
                    order = "<>"[(number + compression) % 2]
                    page = Page(stored, photometric, bits, compression, planar, predictor=predictor, extra=[2], **shape)
                    yield Sample(
                        f"tiff-{name}-{compression}-{predictor}-{next(iter(shape), 'whole')}-{planar}",
                        tiff(page, order=order),
                        shown,
                        ALPHA,
                        within,
                    )
        for planar in (1, 2):
            page = Page(stored, photometric, bits, 8, planar, rows_per_strip=5, extra=[2])
            yield Sample(f"bigtiff-{name}-{planar}", tiff(page, big=True), shown, ALPHA, within)
        for turn in range(2, 9):
            page = Page(stored_for(stored, turn), photometric, bits, 5, extra=[2], orientation=turn)
            yield Sample(f"tiff-{name}-turn-{turn}", tiff(page), shown, ALPHA, within)
    for turn in (1, 6):
        page = Page(stored_for(deepened(GREY), turn), BLACK_IS_ZERO, 16, 8, predictor=2, orientation=turn)
        yield Sample(f"tiff-grey-16-turn-{turn}", tiff(page), as_rgb(GREY))


def _meanings() -> Iterator[Sample]:
    """What the channels beside the colours are: nothing that matters, or alpha, first or second."""
    spot = np.dstack([INKS, GREY, ALPHA])
    for name, levels, photometric, extra, shown, alpha in (
        ("inks-and-something", INKS_ALPHA, CMYK, [0], PLAIN_INKS, None),
        ("inks-and-unsaid", INKS_ALPHA, CMYK, [], PLAIN_INKS, None),
        ("inks-spot-alpha", spot, CMYK, [0, 2], PLAIN_INKS, ALPHA),
        ("inks-alpha-spot", spot[..., [0, 1, 2, 3, 5, 4]], CMYK, [2, 0], PLAIN_INKS, ALPHA),
        ("rgb-three-more", np.dstack([RGBA, GREY, GREY]), RGB, [2, 0, 0], PICTURE, ALPHA),
        ("rgb-unsaid", RGBA, RGB, [], PICTURE, ALPHA),
        ("rgb-something", RGBA, RGB, [0], PICTURE, None),
        ("grey-something", GREY_ALPHA, BLACK_IS_ZERO, [0], as_rgb(GREY), None),
    ):
        deep = tiff(Page(deepened(levels), photometric, bits=16, extra=extra))
        yield Sample(f"tiff-16-{name}", deep, shown, alpha, within=1 if photometric == CMYK else 0)
        if photometric == CMYK:
            yield Sample(f"tiff-8-{name}", tiff(Page(levels, photometric, extra=extra)), shown, alpha, within=1)
    opaque = np.dstack([INKS, np.full(HW, 255, np.uint8)])
    yield Sample("tiff-cmyk-opaque", tiff(Page(opaque, CMYK, extra=[2])), PLAIN_INKS, within=1)
    white = deepened(GREY_ALPHA)
    white[..., 0] = 65535 - white[..., 0]
    yield Sample("tiff-16-white-is-0-alpha", tiff(Page(white, WHITE_IS_ZERO, bits=16, extra=[2])), as_rgb(GREY), ALPHA)
    inverted = INKS_ALPHA.copy()
    inverted[..., :4] = 255 - INKS
    dots = {336: ("B", [255, 0])}
    yield Sample(
        "tiff-cmyk-alpha-inverted", tiff(Page(inverted, CMYK, extra=[2], more=dots)), PLAIN_INKS, ALPHA, within=1
    )
    dots = {336: ("H", [65535, 0])}
    deep = tiff(Page(deepened(255 - INKS), CMYK, bits=16, more=dots))
    yield Sample("tiff-cmyk-16-inverted", deep, PLAIN_INKS, within=1)


def _premultiplied() -> Iterator[Sample]:
    """Colours times alpha, in whole levels of 16 bits: the colour is exact again where alpha is not close to 0."""
    alpha = np.clip(ALPHA, 16, 255)
    share = deepened(alpha) / 65535.0
    for name, levels, photometric, shown in (
        ("rgb", PICTURE, RGB, PICTURE),
        ("grey", GREY[..., None], BLACK_IS_ZERO, as_rgb(GREY)),
        ("cmyk", INKS, CMYK, PLAIN_INKS),
    ):
        dimmed = np.rint(deepened(levels) * share[..., None]).astype(np.uint16)
        page = Page(np.dstack([dimmed, deepened(alpha)]), photometric, bits=16, extra=[1])
        yield Sample(f"tiff-16-premultiplied-{name}", tiff(page), shown, alpha, within=1)
    none = np.zeros((*HW, 4), np.uint16)
    clear = Page(none, RGB, bits=16, extra=[1])
    yield Sample("tiff-16-premultiplied-clear", tiff(clear), np.zeros_like(PICTURE), np.zeros(HW, np.uint8))


def _by_another_writer() -> Iterator[Sample]:
    for name, levels, options, shown, alpha, within in (
        ("rgb-16", PICTURE, {"photometric": "rgb"}, PICTURE, None, 0),
        ("rgba-16", RGBA, {"photometric": "rgb", "extrasamples": ["unassalpha"]}, PICTURE, ALPHA, 0),
        ("grey-alpha-16", GREY_ALPHA, {"photometric": "minisblack", "extrasamples": ["unassalpha"], "planarconfig": 1},
         as_rgb(GREY), ALPHA, 0),
        ("cmyk-alpha-16", INKS_ALPHA, {"photometric": "separated", "extrasamples": ["unassalpha"]},
         PLAIN_INKS, ALPHA, 1),
    ):  # fmt: skip
        for shape in ({}, {"rowsperstrip": 5}, {"tile": (16, 16)}):
            for compression in (None, "zlib"):
                out = BytesIO()
                tifffile.imwrite(out, deepened(levels), compression=compression, **options, **shape)
                yield Sample(
                    f"tiff-by-tifffile-{name}-{compression}-{next(iter(shape), 'whole')}",
                    out.getvalue(), shown, alpha, within,
                )  # fmt: skip


def _coloured() -> Iterator[Sample]:
    calm = np.clip(PICTURE, 60, 200)
    wide = tiff(Page(deepened(calm), RGB, bits=16, planar=2, more={34675: ("U", adobe_rgb_profile())}))
    yield Sample("tiff-16-adobe-rgb", wide, adobe_rgb_to_srgb(calm), within=2, icc="converted")
    for bits in (8, 16):
        stored = np.dstack([FULL_INKS, ALPHA])
        page = Page(
            deepened(stored) if bits == 16 else stored, CMYK, bits, extra=[2], more={34675: ("U", cmyk_profile())}
        )
        printed = lab_to_srgb(inks_lab(FULL_INKS))
        yield Sample(f"tiff-cmyk-alpha-profile-{bits}", tiff(page), printed, ALPHA, within=4, icc="converted")


def _damaged() -> Iterator[Sample]:
    noise = np.random.default_rng(3).integers(0, 65536, (64, 64, 4)).astype(np.uint16)
    for compression in (5, 8):
        whole = tiff(Page(noise, RGB, bits=16, compression=compression, extra=[2]))
        broken = whole[:3000] + b"\xff" * 64 + whole[3064:]
        yield refused(f"tiff-16-damaged-{compression}", broken, "failed_to_read_image", at_header=False)
    beyond = tiff(Page(noise, RGB, bits=16, extra=[2], more={273: ("I", [1 << 30])}))
    yield refused("tiff-16-strip-behind-the-end", beyond, "failed_to_read_image", at_header=False)
