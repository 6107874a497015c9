"""JPEG, PNG and WebP: colours, depths, turns, animations."""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from tests.corpus.profiles import cmyk_profile, inks_lab, lab_to_srgb, p3_profile, p3_profile_to_srgb
from tests.corpus.sample import Sample, alpha_ramp, as_rgb, deepened, drawing, grey_of, plain_cmyk, refused
from tests.corpus.tiff_files import FULL_INKS
from tests.photo_files import adobe_rgb_profile, adobe_rgb_to_srgb, chunk, exif, quadrants, raw_png, save, stored_for

PICTURE = drawing()
HW = PICTURE.shape[:2]
GREY, ALPHA = grey_of(PICTURE), alpha_ramp(HW)
CLEAN = quadrants()
FINE: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True, "exact": True},
}
WITHIN = {"JPEG": 3, "PNG": 0, "WEBP": 0}
BROKEN_EXIF = (b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12")


def samples() -> Iterator[Sample]:
    for name in FINE:
        yield from _common(name)
    yield from _jpegs()
    yield from _inks()
    yield from _pngs()
    yield from _animations()


def _common(name: str) -> Iterator[Sample]:
    fine, within = FINE[name], WITHIN[name]
    for turn in range(1, 9):
        data = save(stored_for(CLEAN, turn), name, exif=exif(orientation=turn), **fine)
        yield Sample(f"{name}-turn-{turn}", data, CLEAN, within=within)
    for number, broken in enumerate(BROKEN_EXIF):
        yield Sample(f"{name}-broken-exif-{number}", save(CLEAN, name, exif=broken, **fine), CLEAN, within=within)
    calm = np.clip(CLEAN, 60, 200)
    wide = save(calm, name, icc_profile=adobe_rgb_profile(), **fine)
    yield Sample(f"{name}-adobe-rgb", wide, adobe_rgb_to_srgb(calm), within=within + 3, icc="converted")
    wide = save(calm, name, icc_profile=p3_profile(), **fine)
    yield Sample(f"{name}-p3", wide, p3_profile_to_srgb(calm), within=within + 4, icc="converted")
    for number, broken in enumerate((b"no profile", adobe_rgb_profile()[:150], bytes(200))):
        yield Sample(
            f"{name}-broken-icc-{number}",
            save(CLEAN, name, icc_profile=broken, **fine),
            CLEAN,
            within=within,
            icc="broken",
        )
    for hw in ((1, 1), (1, 77), (77, 1), (33, 9)):
        flat = np.full((*hw, 3), (90, 120, 60), np.uint8)
        yield Sample(f"{name}-{hw[1]}x{hw[0]}", save(flat, name, **fine), flat, within=2)
    yield Sample(
        f"{name}-with-a-zip-behind", save(CLEAN, name, **fine) + b"PK\x03\x04" + bytes(50), CLEAN, within=within
    )


def _jpegs() -> Iterator[Sample]:
    fine = FINE["JPEG"]
    yield Sample("JPEG-progressive", save(CLEAN, "JPEG", progressive=True, **fine), CLEAN, within=3)
    yield Sample("JPEG-grey", save(grey_of(CLEAN), "JPEG", quality=95), as_rgb(grey_of(CLEAN)), within=3)
    first, second = Image.fromarray(CLEAN), Image.fromarray(255 - CLEAN)
    mpo = save(first, "MPO", save_all=True, append_images=[second], **fine)
    yield Sample("JPEG-mpo", mpo, CLEAN, within=3)
    calm = np.clip(CLEAN, 60, 200)
    marked = _exif_of_camera(space=0xFFFF, index=b"R03\0")
    yield Sample(
        "JPEG-adobe-rgb-by-exif",
        save(calm, "JPEG", exif=marked, **fine),
        adobe_rgb_to_srgb(calm),
        within=5,
        icc="converted",
    )
    marked = _exif_of_camera(space=2, index=b"R98\0")
    yield Sample(
        "JPEG-adobe-rgb-by-maker",
        save(calm, "JPEG", exif=marked, **fine),
        adobe_rgb_to_srgb(calm),
        within=5,
        icc="converted",
    )
    marked = _exif_of_camera(space=1, index=b"R98\0")
    yield Sample("JPEG-srgb-by-exif", save(calm, "JPEG", exif=marked, **fine), calm, within=3, icc="none")
    marked = _exif_of_camera(space=0xFFFF, index=b"R98\0")
    yield Sample("JPEG-uncalibrated", save(calm, "JPEG", exif=marked, **fine), calm, within=3, icc="none")


def _exif_of_camera(*, space: int, index: bytes) -> bytes:
    """EXIF with a colour space (DCF 2.0), written tag by tag."""
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<HHHII", 1, 0x8769, 4, 1, 26) + bytes(4)
    sub = (
        struct.pack("<H", 2)
        + struct.pack("<HHIHH", 0xA001, 3, 1, space, 0)
        + struct.pack("<HHII", 0xA005, 4, 1, 56)
        + bytes(4)
    )
    interop = struct.pack("<HHHI4s", 1, 1, 2, 4, index) + bytes(4)
    return b"Exif\0\0" + head + sub + interop


def _inks() -> Iterator[Sample]:
    """Adobe's inverted CMYK as Pillow and Photoshop write it, with and without its marker and a profile."""
    ink = np.zeros((*CLEAN.shape[:2], 4), np.uint8)
    ink[:24, :40], ink[:24, 40:], ink[24:, :40], ink[24:, 40:] = (
        (0, 200, 200, 0),
        (180, 0, 90, 20),
        (0, 0, 0, 120),
        (30, 30, 220, 0),
    )
    adobe = save(Image.fromarray(ink, "CMYK"), "JPEG", quality=98)
    yield Sample("JPEG-cmyk-adobe", adobe, plain_cmyk(ink), within=4)
    at = adobe.index(b"\xff\xee")
    bare = adobe[:at] + adobe[at + 2 + int.from_bytes(adobe[at + 2 : at + 4], "big") :]
    yield Sample("JPEG-cmyk-without-marker", bare, plain_cmyk(ink), within=4)
    full = np.repeat(np.repeat(FULL_INKS[:3, :5], 16, axis=0), 16, axis=1)
    printed = save(Image.fromarray(full, "CMYK"), "JPEG", quality=98, icc_profile=cmyk_profile())
    yield Sample("JPEG-cmyk-profile", printed, lab_to_srgb(inks_lab(full)), within=8, icc="converted")
    broken = save(Image.fromarray(ink, "CMYK"), "JPEG", quality=98, icc_profile=cmyk_profile()[:200])
    yield Sample("JPEG-cmyk-broken-profile", broken, plain_cmyk(ink), within=4, icc="broken")
    wrong = save(Image.fromarray(ink, "CMYK"), "JPEG", quality=98, icc_profile=adobe_rgb_profile())
    yield Sample("JPEG-cmyk-rgb-profile", wrong, plain_cmyk(ink), within=4, icc="broken")


def _filtered(rows: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in rows)


def _pngs() -> Iterator[Sample]:
    wh = HW[1], HW[0]
    for bits in (1, 2, 4):
        levels = GREY >> 8 - bits
        spread = (levels[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        rows = _filtered(np.packbits(spread.reshape(HW[0], -1).astype(np.uint8), axis=1))
        shown = (levels.astype(int) * 255 // ((1 << bits) - 1)).astype(np.uint8)
        yield Sample(f"PNG-grey-{bits}", raw_png(wh, bits, 0, rows), as_rgb(shown))
        palette = np.random.default_rng(bits).integers(0, 256, (1 << bits, 3)).astype(np.uint8)
        before = chunk(b"PLTE", palette.tobytes())
        yield Sample(f"PNG-palette-{bits}", raw_png(wh, bits, 3, rows, before_pixels=before), palette[levels])
        seen = np.arange(1 << bits, dtype=np.uint8) * 9
        before += chunk(b"tRNS", seen.tobytes())
        yield Sample(
            f"PNG-palette-transparent-{bits}",
            raw_png(wh, bits, 3, rows, before_pixels=before),
            palette[levels],
            seen[levels],
        )
    for interlaced in (0, 1):
        data = raw_png(wh, 8, 2, _filtered(PICTURE)) if not interlaced else save(PICTURE, "PNG")
        yield Sample(f"PNG-rgb-{interlaced}", data, PICTURE)
    rgba, grey_alpha = np.dstack([PICTURE, ALPHA]), np.dstack([GREY, ALPHA])
    for kind, pixels, shown, alpha in (
        (0, GREY, as_rgb(GREY), None),
        (2, PICTURE, PICTURE, None),
        (4, grey_alpha, as_rgb(GREY), ALPHA),
        (6, rgba, PICTURE, ALPHA),
    ):
        yield Sample(f"PNG-kind-{kind}", raw_png(wh, 8, kind, _filtered(pixels)), shown, alpha)
        yield Sample(
            f"PNG-kind-{kind}-16", raw_png(wh, 16, kind, _filtered(deepened(pixels).astype(">u2"))), shown, alpha
        )
    yield Sample("WEBP-rgba", save(rgba, "WEBP", lossless=True, exact=True), PICTURE, ALPHA)
    calm = np.clip(PICTURE, 60, 200)
    deep = raw_png(wh, 16, 2, _filtered(deepened(calm).astype(">u2")), before_pixels=_icc_chunk(adobe_rgb_profile()))
    yield Sample("PNG-16-adobe-rgb", deep, adobe_rgb_to_srgb(calm), within=2, icc="converted")


def _icc_chunk(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"profile\0\0" + zlib.compress(profile))


def _animations() -> Iterator[Sample]:
    frames = [Image.fromarray(PICTURE), Image.fromarray(255 - PICTURE), Image.fromarray(PICTURE[::-1])]
    for name in ("PNG", "WEBP"):
        options = {"lossless": True} if name == "WEBP" else {}
        moving = save(frames[0], name, save_all=True, append_images=frames[1:], **options)
        yield refused(f"{name}-animated", moving, "animated_image")
        yield Sample(f"{name}-first-frame", moving, PICTURE, animated="first_frame")
    apart = BytesIO()
    frames[0].save(apart, "PNG", save_all=True, append_images=frames[1:], default_image=True)
    yield Sample("PNG-picture-beside-animation", apart.getvalue(), PICTURE, animated="first_frame")
