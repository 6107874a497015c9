"""AVIF and HEIF: every turn, crop, grid, alpha, colours, sequences; and what is refused."""

from collections.abc import Iterator
from io import BytesIO
from itertools import product

import numpy as np
import pillow_heif
from PIL import Image

from tests.corpus import bmffs
from tests.corpus.bmffs import Coded, Item, bmff, clap, coded, grid, imir, irot, nclx, prof, still, with_alpha
from tests.corpus.profiles import BT2020_TO_XYZ, P3_TO_XYZ, p3_profile, p3_profile_to_srgb, to_srgb
from tests.corpus.sample import Sample, alpha_ramp, as_rgb, grey_of, refused
from tests.photo_files import adobe_rgb_profile, adobe_rgb_to_srgb, exif, quadrants, save

HW = (64, 128)
PICTURE = quadrants(HW)
KINDS = {"avif": b"av01", "heif": b"hvc1"}
WITHIN = {"avif": 3, "heif": 0}


def samples() -> Iterator[Sample]:
    for name, kind in KINDS.items():
        picture = coded(PICTURE, kind)
        yield from _turned(name, picture)
        yield from _cropped(name, picture)
        yield from _colours(name, kind)
        yield from _grids(name, kind)
        yield from _alpha(name, kind)
        yield from _refused(name, picture)
    yield from _by_writers()
    yield from _sequences()


def _turned(name: str, picture: Coded) -> Iterator[Sample]:
    for quarters, axis in product(range(4), (None, 0, 1)):
        shown = np.rot90(PICTURE, quarters)
        if axis is not None:
            shown = np.flip(shown, axis)
        turns = ([irot(quarters)] if quarters else []) + ([] if axis is None else [imir(axis)])
        yield Sample(f"{name}-turn-{quarters}-{axis}", still(picture, *turns), shown, within=WITHIN[name])
    yield refused(f"{name}-mirror-before-turn", still(picture, imir(0), irot(1)), "failed_to_read_image")


def _cropped(name: str, picture: Coded) -> Iterator[Sample]:
    crop = clap(HW, 8, 6, 100, 50)
    yield Sample(f"{name}-crop", still(picture, crop), PICTURE[6:50, 8:100], within=WITHIN[name])
    turned = np.flip(np.rot90(PICTURE[6:50, 8:100], 3), 1)
    yield Sample(f"{name}-crop-turn-mirror", still(picture, crop, irot(3), imir(1)), turned, within=WITHIN[name])
    whole = clap(HW, 0, 0, HW[1], HW[0])
    yield Sample(f"{name}-crop-of-nothing", still(picture, whole), PICTURE, within=WITHIN[name])
    for outside in (clap(HW, 8, 6, 140, 50), clap(HW, 20, 6, 20, 50)):
        yield refused(f"{name}-crop-{outside[11]}-outside", still(picture, outside), "failed_to_read_image")


def _colours(name: str, kind: bytes) -> Iterator[Sample]:
    calm = coded(np.clip(PICTURE, 60, 200), kind)
    shown = np.clip(PICTURE, 60, 200)
    within = WITHIN[name] + 3
    matrix = calm.matrix
    base = (*calm.boxes,)

    def with_colours(*boxes: bytes) -> bytes:
        return bmff([Item(kind, calm.data, (*base, *boxes))], brand=bmffs.CODEC_BRANDS[kind])

    yield Sample(
        f"{name}-named-p3",
        with_colours(nclx(12, 13, matrix)),
        to_srgb(shown, P3_TO_XYZ),
        within=within + 3,
        icc="converted",
    )
    yield Sample(
        f"{name}-named-2020",
        with_colours(nclx(9, 13, matrix)),
        to_srgb(shown, BT2020_TO_XYZ),
        within=within + 3,
        icc="converted",
    )
    yield Sample(f"{name}-named-srgb", with_colours(nclx(1, 13, matrix)), shown, within=WITHIN[name], icc="none")
    yield Sample(f"{name}-named-unknown", with_colours(nclx(2, 2, matrix)), shown, within=WITHIN[name], icc="none")
    profiled = with_colours(nclx(2, 2, matrix), prof(adobe_rgb_profile()))
    yield Sample(f"{name}-adobe-rgb", profiled, adobe_rgb_to_srgb(shown), within=within, icc="converted")
    profiled = with_colours(nclx(12, 13, matrix), prof(p3_profile()))
    yield Sample(f"{name}-p3-profile", profiled, p3_profile_to_srgb(shown), within=within + 4, icc="converted")
    broken = with_colours(nclx(1, 13, matrix), prof(b"no profile"))
    yield Sample(f"{name}-broken-icc", broken, shown, within=WITHIN[name], icc="broken")
    for transfer in (8, 16, 18):
        yield refused(f"{name}-hdr-{transfer}", with_colours(nclx(9, transfer, matrix)), "invalid_file_type")
    yield refused(f"{name}-primaries-11", with_colours(nclx(11, 13, matrix)), "invalid_file_type")
    grey = grey_of(PICTURE)
    yield Sample(f"{name}-grey", still(coded(grey, kind)), as_rgb(grey), within=3)


def _grids(name: str, kind: bytes) -> Iterator[Sample]:
    whole = quadrants((128, 256))
    tiles = [
        coded(np.ascontiguousarray(whole[top : top + 64, left : left + 128]), kind)
        for top in (0, 64)
        for left in (0, 128)
    ]
    yield Sample(f"{name}-grid", grid(tiles, 2, 2, (128, 256)), whole, within=WITHIN[name])
    yield Sample(f"{name}-grid-cut", grid(tiles, 2, 2, (100, 200)), whole[:100, :200], within=WITHIN[name])
    yield Sample(
        f"{name}-grid-turned", grid(tiles, 2, 2, (100, 200), irot(1)), np.rot90(whole[:100, :200]), within=WITHIN[name]
    )
    yield refused(
        f"{name}-grid-too-few-tiles", grid(tiles[:3], 2, 2, (128, 256)), "failed_to_read_image", at_header=False
    )
    yield refused(f"{name}-grid-of-60000", grid(tiles, 2, 2, (60_000, 60_000)), "resolution_too_high")
    claims = Coded(
        kind,
        tiles[0].data,
        (8192, 8192),
        tuple(part if part[4:8] != b"ispe" else bmffs.ispe((8192, 8192)) for part in tiles[0].boxes),
    )
    yield refused(f"{name}-grid-of-huge-tiles", grid([claims] * 4, 2, 2, (128, 256)), "resolution_too_high")
    yield refused(f"{name}-grid-of-many-tiles", grid([tiles[0]] * 2000, 40, 50, (128, 256)), "resolution_too_high")


def _alpha(name: str, kind: bytes) -> Iterator[Sample]:
    ramp = alpha_ramp(HW)
    picture, alpha = coded(PICTURE, kind), coded(ramp, kind)
    yield Sample(f"{name}-alpha", with_alpha(picture, alpha), PICTURE, ramp, within=3)
    yield Sample(
        f"{name}-alpha-turned", with_alpha(picture, alpha, irot(1)), np.rot90(PICTURE), np.rot90(ramp), within=3
    )


def _refused(name: str, picture: Coded) -> Iterator[Sample]:
    def of_size(hw: tuple[int, int]) -> bytes:
        boxes = tuple(part if part[4:8] != b"ispe" else bmffs.ispe(hw) for part in picture.boxes)
        return still(Coded(picture.kind, picture.data, hw, boxes))

    yield refused(f"{name}-9000x9000", of_size((9000, 9000)), "resolution_too_high")
    yield refused(f"{name}-2^32", of_size((2**32 - 1, 2**32 - 1)), "resolution_too_high")
    yield refused(f"{name}-0x0", of_size((0, 0)), "failed_to_read_image")
    yield refused(
        f"{name}-without-size", still(Coded(picture.kind, picture.data, HW, picture.boxes[:0])), "failed_to_read_image"
    )
    for kind in (b"jpeg", b"j2k1", b"unci", b"avc1", b"iden", b"mime"):
        brand = bmffs.CODEC_BRANDS[picture.kind]
        data = bmff([Item(kind, picture.data, picture.boxes)], brand=brand)
        yield refused(f"{name}-of-{kind.decode()}", data, "invalid_file_type")
    data = bmff([Item(picture.kind, picture.data, picture.boxes)], brand=bmffs.CODEC_BRANDS[picture.kind], primary=7)
    yield refused(f"{name}-no-primary", data, "invalid_file_type")


def _by_writers() -> Iterator[Sample]:
    """As libavif and libheif write them, also with EXIF that contradicts the turn of the file."""
    image = Image.fromarray(PICTURE)
    for turn in range(1, 9):
        stored = _stored(turn)
        avif = save(
            Image.fromarray(stored), "AVIF", quality=100, subsampling="4:4:4", speed=9, exif=exif(orientation=turn)
        )
        yield Sample(f"avif-by-pillow-{turn}", avif, PICTURE, within=3)
    for name, kind in KINDS.items():
        for block in (exif(orientation=6), b"Exif\0\0broken"):
            yield Sample(
                f"{name}-exif-is-not-asked-{len(block)}",
                _with_exif(coded(PICTURE, kind), block),
                PICTURE,
                within=WITHIN[name],
            )
    odd = PICTURE[:47, :77]
    out = BytesIO()
    pillow_heif.from_pillow(Image.fromarray(odd)).save(out, quality=-1, chroma=444, matrix_coefficients=0)
    yield Sample("heif-77x47", out.getvalue(), odd)
    for kept in ("first", "second"):
        out = BytesIO()
        two = pillow_heif.from_pillow(image)
        two.add_from_pillow(Image.fromarray(255 - PICTURE))
        two.save(out, quality=-1, chroma=444, matrix_coefficients=0, primary_index=("first", "second").index(kept))
        yield Sample(f"heif-primary-is-{kept}", out.getvalue(), PICTURE if kept == "first" else 255 - PICTURE)
    out = BytesIO()
    deep = PICTURE.astype("<u2") * 257
    pillow_heif.encode("RGB;16", (HW[1], HW[0]), deep.tobytes(), out, quality=-1, chroma=444, matrix_coefficients=0)
    yield Sample("heif-10-bit", out.getvalue(), PICTURE, within=1)
    out = BytesIO()
    grey = grey_of(PICTURE).astype("<u2") * 257
    pillow_heif.encode("L;16", (HW[1], HW[0]), grey.tobytes(), out, quality=-1)
    yield Sample("heif-grey-10-bit", out.getvalue(), as_rgb(grey_of(PICTURE)), within=2)
    rgba = np.dstack([PICTURE, alpha_ramp(HW)])
    yield Sample(
        "avif-rgba-by-pillow",
        save(rgba, "AVIF", quality=100, subsampling="4:4:4", speed=9),
        PICTURE,
        alpha_ramp(HW),
        within=3,
    )
    yield Sample(
        "avif-grey-by-pillow", save(grey_of(PICTURE), "AVIF", quality=100, speed=9), as_rgb(grey_of(PICTURE)), within=3
    )


def _with_exif(picture: Coded, block: bytes) -> bytes:
    boxes = (*picture.boxes, nclx(1, 13, picture.matrix))
    described = Item(b"Exif", bytes(3) + b"\x06" + block, (), [(b"cdsc", [1])])
    return bmff([Item(picture.kind, picture.data, boxes), described], brand=bmffs.CODEC_BRANDS[picture.kind])


def _stored(turn: int) -> np.ndarray:
    upside = {1: 0, 2: 0, 3: 2, 4: 2, 5: 3, 6: 1, 7: 1, 8: 3}[turn]
    stored = np.rot90(PICTURE, upside)
    return np.ascontiguousarray(np.flip(stored, {2: 1, 4: 1, 5: 1, 7: 1}[turn]) if turn in {2, 4, 5, 7} else stored)


def _sequences() -> Iterator[Sample]:
    frames = [Image.fromarray(PICTURE), Image.fromarray(255 - PICTURE)]
    moving = save(frames[0], "AVIF", save_all=True, append_images=frames[1:], quality=100, subsampling="4:4:4", speed=9)
    yield refused("avif-sequence", moving, "animated_image")
    yield Sample("avif-first-of-sequence", moving, PICTURE, within=3, animated="first_frame")
    heifs = b"".join(
        (bmffs.box(b"ftyp", b"hevc", bytes(4), b"hevc"), bmffs.box(b"moov", bmffs.box(b"mvhd", bytes(100))))
    )
    yield refused("heif-sequence", heifs, "invalid_file_type")
    for brand in (b"mp42", b"isom", b"qt  ", b"crx ", b"jp2 "):
        data = bmffs.box(b"ftyp", brand, bytes(4), brand) + bmffs.box(b"moov", bytes(50))
        yield refused(f"bmff-{brand.decode().strip()}", data, "invalid_file_type")
