"""BMP and GIF: every kind that is read, and what is refused."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.corpus.bmps import bmp, rle4, rle8
from tests.corpus.gifs import Frame, gif
from tests.corpus.profiles import p3_profile, p3_profile_to_srgb
from tests.corpus.sample import Sample, alpha_ramp, as_rgb, drawing, grey_of, refused
from tests.photo_files import adobe_rgb_profile, adobe_rgb_to_srgb, quadrants, save

PICTURE = drawing()
HEIGHT, WIDTH = HW = PICTURE.shape[:2]
GREY = grey_of(PICTURE)
ALPHA = alpha_ramp(HW)
COLOURS = np.random.default_rng(9).integers(0, 256, (256, 3)).astype(np.uint8)
INDICES = GREY
BLOCKS = np.kron(np.arange(24).reshape(4, 6), np.ones((6, 8), int)).astype(np.uint8)[:24, :40]


def samples() -> Iterator[Sample]:
    yield from _bmp_depths()
    yield from _bmp_fields()
    yield from _bmp_runs()
    yield from _bmp_colours()
    yield from _bmp_refused()
    yield from _gifs()
    yield from _gif_frames()
    yield from _gif_refused()


def _rows(pixels: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in pixels]


def _packed(levels: np.ndarray, bits: int) -> list[bytes]:
    spread = (levels[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return _rows(np.packbits(spread.reshape(len(levels), -1).astype(np.uint8), axis=1))


def _bmp_depths() -> Iterator[Sample]:
    for header in (12, 40, 108, 124):
        for top_down in (False, True) if header > 12 else (False,):
            name = f"bmp-{header}{'-top-down' if top_down else ''}"
            rows = _rows(PICTURE[..., ::-1].copy())
            yield Sample(f"{name}-24", bmp(rows, (WIDTH, HEIGHT), 24, header=header, top_down=top_down), PICTURE)
            for bits in (1, 4, 8):
                levels, palette = INDICES >> (8 - bits), COLOURS[: 1 << bits]
                data = bmp(
                    _packed(levels, bits), (WIDTH, HEIGHT), bits, header=header, palette=palette, top_down=top_down
                )
                yield Sample(f"{name}-{bits}", data, palette[levels])
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    yield Sample("bmp-grey", bmp(_rows(GREY), (WIDTH, HEIGHT), 8, palette=ramp), as_rgb(GREY))
    yield Sample("bmp-by-pillow", save(PICTURE, "BMP"), PICTURE)
    yield Sample("bmp-1-bit-by-pillow", save(Image.fromarray(GREY > 99), "BMP"), as_rgb((GREY > 99) * np.uint8(255)))


def _bmp_fields() -> Iterator[Sample]:
    wide = PICTURE.astype(np.uint16)
    for name, shifts, compression, masks in (
        ("555", (5, 5, 5), 0, ()),
        ("565", (5, 6, 5), 3, (0xF800, 0x7E0, 0x1F)),
        ("555-fields", (5, 5, 5), 3, (0x7C00, 0x3E0, 0x1F)),
    ):
        red, green, blue = (wide[..., n] >> 8 - bits for n, bits in enumerate(shifts))
        packed = (red << shifts[1] + shifts[2] | green << shifts[2] | blue).astype("<u2")
        shown = np.stack(
            [np.rint(part * 255 / ((1 << bits) - 1)) for part, bits in zip((red, green, blue), shifts, strict=True)],
            axis=-1,
        ).astype(np.uint8)
        data = bmp(_rows(packed), (WIDTH, HEIGHT), 16, compression=compression, masks=masks)
        yield Sample(f"bmp-{name}", data, shown, within=1)
    bgra = np.dstack([PICTURE[..., ::-1], ALPHA])
    yield Sample("bmp-32-plain", bmp(_rows(bgra), (WIDTH, HEIGHT), 32), PICTURE)
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    yield Sample(
        "bmp-32-alpha", bmp(_rows(bgra), (WIDTH, HEIGHT), 32, header=124, compression=3, masks=masks), PICTURE, ALPHA
    )
    bgra = np.dstack([PICTURE[..., ::-1], np.zeros(HW, np.uint8)])
    yield Sample(
        "bmp-32-alpha-not-set", bmp(_rows(bgra), (WIDTH, HEIGHT), 32, header=124, compression=3, masks=masks), PICTURE
    )


def _bmp_runs() -> Iterator[Sample]:
    for name, indices in (("runs", BLOCKS), ("literal", INDICES)):
        data = bmp(rle8(indices), (WIDTH, HEIGHT), 8, compression=1, palette=COLOURS)
        yield Sample(f"bmp-rle8-{name}", data, COLOURS[indices])
        data = bmp(rle4(indices >> 4), (WIDTH, HEIGHT), 4, compression=2, palette=COLOURS[:16])
        yield Sample(f"bmp-rle4-{name}", data, COLOURS[indices >> 4])
    cut = bmp(rle8(INDICES)[:200], (WIDTH, HEIGHT), 8, compression=1, palette=COLOURS)
    yield refused("bmp-rle8-cut", cut, "failed_to_read_image", at_header=False)


def _bmp_colours() -> Iterator[Sample]:
    """Embedded profiles count; names of profiles elsewhere, and an embedded one of an older header, do not."""
    calm = np.clip(PICTURE, 60, 200)
    rows, wh = _rows(calm[..., ::-1].copy()), (WIDTH, HEIGHT)
    embedded, linked, srgb = 0x4D424544, 0x4C494E4B, 0x73524742
    adobe = adobe_rgb_profile()
    wide = bmp(rows, wh, 24, header=124, profile=adobe, space=embedded)
    yield Sample("bmp-adobe-rgb", wide, adobe_rgb_to_srgb(calm), within=2, icc="converted")
    palette = np.clip(COLOURS, 60, 200)
    data = bmp(_rows(INDICES), wh, 8, header=124, palette=palette, profile=p3_profile(), space=embedded)
    yield Sample("bmp-palette-p3", data, p3_profile_to_srgb(palette[INDICES]), within=4, icc="converted")
    for name, space, profile, icc in (
        ("broken", embedded, adobe[:150], "broken"),
        ("none", embedded, b"", "none"),
        ("linked", linked, b"c:\\camera.icc\0", "none"),
        ("srgb", srgb, adobe, "none"),
        ("calibrated", 0, adobe, "none"),
    ):
        data = bmp(rows, wh, 24, header=124, profile=profile, space=space)
        yield Sample(f"bmp-profile-{name}", data, calm, icc=icc)
    far = bytearray(wide)
    far[14 + 112 : 14 + 120] = b"\xff" * 8
    yield Sample("bmp-profile-behind-the-end", bytes(far), calm, icc="none")


def _bmp_refused() -> Iterator[Sample]:
    rows = _rows(PICTURE)
    for compression in (4, 5, 11):
        yield refused(
            f"bmp-compression-{compression}",
            bmp(rows, (WIDTH, HEIGHT), 24, compression=compression),
            "failed_to_read_image",
        )
    for wh, code in (
        ((0, 5), "failed_to_read_image"),
        ((20_000, 1), "resolution_too_high"),
        ((9000, 9000), "resolution_too_high"),
    ):
        yield refused(f"bmp-{wh[0]}x{wh[1]}", bmp(rows, wh, 24), code)
    yield refused("bmp-2^31", bmp(rows, (2**31 - 1, 2**31 - 1), 24), "resolution_too_high")
    yield refused("bmp-7-bits", bmp(rows, (WIDTH, HEIGHT), 7), "failed_to_read_image")
    yield refused("bmp-text", b"BM is how this text begins", "failed_to_read_image")


def _gifs() -> Iterator[Sample]:
    for interlaced in (False, True):
        frame = Frame(INDICES, is_interlaced=interlaced)
        yield Sample(f"gif-{'interlaced' if interlaced else 'plain'}", gif([frame], HW, COLOURS), COLOURS[INDICES])
    local = COLOURS[::-1]
    yield Sample("gif-local-palette", gif([Frame(INDICES, palette=local)], HW, COLOURS), local[INDICES])
    yield Sample("gif-no-global-palette", gif([Frame(INDICES, palette=local)], HW, None), local[INDICES])
    seen = np.where(BLOCKS == 7, 0, 255).astype(np.uint8)
    yield Sample("gif-transparent", gif([Frame(BLOCKS, transparent=7)], HW, COLOURS), COLOURS[BLOCKS], seen)
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    yield Sample("gif-grey", gif([Frame(INDICES)], HW, grey), as_rgb(INDICES))
    yield Sample("gif-by-pillow", save(quadrants(), "GIF"), quadrants())
    yield Sample("gif-noise-between", gif([Frame(INDICES)], HW, COLOURS)[:-1] + b"\0\0\0;", COLOURS[INDICES])
    yield Sample("gif-without-end", gif([Frame(INDICES)], HW, COLOURS)[:-1], COLOURS[INDICES])
    for hw in ((1, 1), (1, 90), (90, 1)):
        yield Sample(
            f"gif-{hw[1]}x{hw[0]}", gif([Frame(np.full(hw, 5))], hw, COLOURS), np.broadcast_to(COLOURS[5], (*hw, 3))
        )


def _gif_frames() -> Iterator[Sample]:
    two = gif([Frame(INDICES), Frame(BLOCKS)], HW, COLOURS)
    yield refused("gif-two-frames", two, "animated_image")
    yield Sample("gif-first-frame", two, COLOURS[INDICES], animated="first_frame")
    many = gif([Frame(BLOCKS + n) for n in range(20)], HW, COLOURS)
    yield refused("gif-twenty-frames", many, "animated_image")
    yield Sample("gif-first-of-twenty", many, COLOURS[BLOCKS], animated="first_frame")
    cut = gif([Frame(INDICES), Frame(BLOCKS)], HW, COLOURS)[:-200]
    yield Sample("gif-second-frame-cut", cut, COLOURS[INDICES], animated="first_frame")


def _gif_refused() -> Iterator[Sample]:
    yield refused("gif-no-frame", gif([], HW, COLOURS), "failed_to_read_image")
    yield refused("gif-script", b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)", "failed_to_read_image")
    yield refused("gif-60000x60000", gif([Frame(INDICES)], (60_000, 60_000), COLOURS), "resolution_too_high")
    far = Frame(INDICES, top_left=(65_000, 65_000))
    yield refused("gif-frame-far-outside", gif([far], HW, COLOURS), "resolution_too_high")
    yield refused("gif-0x0", gif([Frame(np.zeros((0, 0)))], (0, 0), COLOURS), "failed_to_read_image")
