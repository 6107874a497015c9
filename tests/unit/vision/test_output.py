"""Every format, decoded by another decoder and held to what is promised of it."""

import re
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from tests.images import draw
from vision.codec import avif
from vision.codec.parts import foreign_parts
from vision.compose import cutout, flatten
from vision.errors import ImageError
from vision.fitting import Encoded, fit
from vision.numeric import in_16bit_steps
from vision.output import BrokenPromiseError, Encoding, check, render
from vision.separate import make_mask, make_zip

WHITE = (255, 255, 255)
LOSSLESS = [Encoding("png"), Encoding("tiff"), Encoding("webp", is_lossless=True)]
LOSSY = [Encoding("webp"), Encoding("avif"), Encoding("jpg")]
EVERY = [*LOSSLESS, *LOSSY, Encoding("png8")]


def names(encoding: Encoding) -> str:
    return f"{encoding.format}{'-lossless' if encoding.is_lossless else ''}"


def pillow(data: bytes, mode: str) -> np.ndarray:
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image.convert(mode))


@pytest.fixture(scope="module")
def product() -> tuple[np.ndarray, np.ndarray]:
    """Foreground and alpha of something hairy, with a sensor's noise, on a background that must not be seen."""
    drawing = draw("hair", "textured", (150, 203))
    noisy = np.clip(drawing.foreground + np.random.default_rng(1).normal(0, 12, (150, 203, 3)), 0, 255)
    return np.rint(noisy).astype(np.uint8), in_16bit_steps(drawing.alpha.astype(np.float32))


def encode(product: tuple[np.ndarray, np.ndarray], encoding: Encoding, background: Any) -> bytes:
    made = render(*product, encoding, background=background)
    check(made.file, product[1], encoding, background=background)
    return made.file


@pytest.mark.parametrize("encoding", LOSSLESS, ids=names)
@pytest.mark.parametrize("background", [None, WHITE, (250, 3, 77)])
def test_lossless_files_hold_every_pixel(product, encoding: Encoding, background) -> None:
    wanted = cutout(*product) if background is None else flatten(*product, background)
    data = encode(product, encoding, background)
    np.testing.assert_array_equal(pillow(data, "RGBA" if background is None else "RGB"), wanted)


@pytest.mark.parametrize("encoding", EVERY, ids=names)
def test_white_is_white_to_another_decoder_too(product, encoding: Encoding) -> None:
    data = encode(product, encoding, WHITE)
    if encoding.format == "tiff":
        seen = tifffile.imread(BytesIO(data))
    else:
        seen = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    background = np.rint(product[1] * 255) == 0
    if encoding.format == "webp" and not encoding.is_lossless:
        background = cv2.erode(background.astype(np.uint8), np.ones((33, 33), np.uint8)) > 0
        assert np.abs(seen[background].astype(int) - 255).max() <= 8
    else:
        assert (seen[background] == 255).all()
    assert np.abs(seen.astype(int) - flatten(*product, WHITE)).mean() < 4
    assert foreign_parts(data) == ()


@pytest.mark.parametrize("encoding", [Encoding("avif"), Encoding("webp")], ids=names)
def test_alpha_of_lossy_files_is_exact(product, encoding: Encoding) -> None:
    seen = pillow(encode(product, encoding, None), "RGBA")
    np.testing.assert_array_equal(seen[..., 3], np.rint(product[1] * 255))
    solid = seen[..., 3] == 255
    assert np.abs(seen[solid].astype(int) - cutout(*product)[solid]).mean() < 6


def test_256_colours_keep_what_is_promised_and_look_alike(product) -> None:
    wanted = cutout(*product)
    data = encode(product, Encoding("png8"), None)
    with Image.open(BytesIO(data)) as image:
        assert image.mode == "P"
    seen = pillow(data, "RGBA")
    for exact in (0, 255):
        np.testing.assert_array_equal(seen[..., 3] == exact, wanted[..., 3] == exact)
    assert not seen[seen[..., 3] == 0].any()
    assert np.abs(seen[..., 3].astype(int) - wanted[..., 3]).mean() < 1
    assert np.abs(seen.astype(int) - wanted).mean() < 4
    assert len(data) < len(encode(product, Encoding("png"), None)) / 2


def test_256_colours_are_nearer_than_an_octrees(product) -> None:
    wanted = cutout(*product)
    octree = Image.fromarray(wanted).quantize(256, Image.Quantize.FASTOCTREE).convert("RGBA")

    def error(seen: np.ndarray) -> float:
        blurred = [cv2.GaussianBlur(each[..., :3] * (each[..., 3:] / 255.0), (0, 0), 1.5) for each in (seen, wanted)]
        return float(((blurred[0] - blurred[1]) ** 2).mean())

    assert error(pillow(encode(product, Encoding("png8"), None), "RGBA")) < error(np.asarray(octree)) / 2


@pytest.mark.parametrize("background", [None, (12, 200, 7)])
def test_a_picture_of_few_colours_stays_as_it_is(background) -> None:
    foreground = np.zeros((40, 30, 3), np.uint8)
    foreground[..., 0] = np.arange(30) * 8
    alpha = np.repeat(np.array([0, 0.5, 1, 1], np.float32), 10)[:, None] * np.ones((1, 30), np.float32)
    wanted = cutout(foreground, alpha) if background is None else flatten(foreground, alpha, background)
    data = encode((foreground, alpha), Encoding("png8"), background)
    np.testing.assert_array_equal(pillow(data, "RGBA" if background is None else "RGB"), wanted)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(EVERY),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(["picture", "line"]),
    st.sampled_from([WHITE, None, (0, 0, 0)]),
    st.integers(0, 999),
)
def test_any_size(encoding: Encoding, height: int, width: int, shape: str, background, seed: int) -> None:
    if encoding.format == "jpg" and background is None:
        background = WHITE
    rng = np.random.default_rng(seed)
    hw = (1 if shape == "line" else height, width)
    foreground = rng.integers(0, 256, (*hw, 3), np.uint8)
    alpha = rng.choice(np.array([0, 0, 0.3, 1, 1], np.float32), hw)
    data = encode((foreground, alpha), encoding, background)
    assert pillow(data, "RGBA").shape == (*hw, 4)


def test_a_tiff_is_straight_rgba_in_srgb(product) -> None:
    data = encode(product, Encoding("tiff"), None)
    with tifffile.TiffFile(BytesIO(data)) as file:
        [page] = file.pages
        assert (page.compression.name, page.extrasamples[0].name) == ("ADOBE_DEFLATE", "UNASSALPHA")
        np.testing.assert_array_equal(page.asarray(), cutout(*product))
    with Image.open(BytesIO(data)) as image:
        profile = ImageCms.ImageCmsProfile(BytesIO(image.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert data == encode(product, Encoding("tiff"), None)


def test_a_broken_promise_is_seen_in_each_format(product) -> None:
    foreground, alpha = product
    shown = np.where(alpha > 0, alpha, 0.1).astype(np.float32)  # a veil where nothing may be
    for encoding in EVERY:
        data = render(foreground, shown, encoding, background=WHITE).file
        with pytest.raises(BrokenPromiseError, match="off by up to"):
            check(data, alpha, encoding, background=WHITE)
    data = render(foreground, alpha, Encoding("avif"), background=None).file
    with pytest.raises(BrokenPromiseError, match="another alpha"):
        check(data, np.rint(alpha), Encoding("avif"), background=None)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("TIFF", {"tiffinfo": {270: "by a maker"}}),
        ("TIFF", {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()}),
        ("AVIF", {"exif": Image.Exif().tobytes() + b"MM\x00*\x00\x00\x00\x08\x00\x00\x00\x00"}),
        ("AVIF", {"xmp": b"<x:xmpmeta/>"}),
        ("AVIF", {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}),
    ],
)
def test_foreign_parts_are_seen(kind: str, options: dict[str, Any]) -> None:
    out = BytesIO()
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(out, kind, **options)
    assert foreign_parts(out.getvalue())


@pytest.mark.parametrize("kind", ["tiff", "avif"])
def test_bytes_behind_the_end_are_foreign_or_damage(product, kind) -> None:
    data = encode(product, Encoding(kind), WHITE)
    if kind == "tiff":
        assert foreign_parts(data + b"PK") == ("bytes behind the end",)
    else:
        with pytest.raises(ValueError, match="behind its end"):
            foreign_parts(data + b"PK")
    with pytest.raises(ValueError, match="damaged"):
        foreign_parts(data[:40])


@pytest.mark.parametrize("kind", ["jpg", "webp", "avif"])
def test_the_highest_quality_that_fits_is_taken(product, kind) -> None:
    most = render(*product, Encoding(kind, quality=100), background=WHITE)
    least = render(*product, Encoding(kind, quality=85), background=WHITE)  # an avif of 50 is raised to 100 here
    limit = (len(most.file) + len(least.file)) // 2
    fitted = render(*product, Encoding(kind, quality=100, max_bytes=limit), background=WHITE)
    assert len(fitted.file) <= limit
    assert fitted.quality is not None
    assert most.quality is not None
    assert fitted.quality < most.quality
    if kind != "avif":  # whose quality may have been raised for white's sake
        better = render(*product, Encoding(kind, quality=fitted.quality + 1), background=WHITE)
        assert len(better.file) > limit
    check(fitted.file, product[1], Encoding(kind), background=WHITE)
    assert render(*product, Encoding(kind, quality=100, max_bytes=10**7), background=WHITE).quality == most.quality


@settings(max_examples=60)
@given(st.integers(50, 100), st.integers(0, 60), st.integers(1, 20))
def test_the_search_is_short_and_exact(most: int, slack: int, slope: int) -> None:
    tried: list[int] = []

    told: list[None] = []

    def encode(quality: int) -> Encoded:
        tried.append(quality)
        return Encoded(bytes(quality * slope), quality)

    limit = (50 + slack) * slope
    found = fit(encode, most=most, max_bytes=limit, progress=lambda: told.append(None))
    assert found.quality == min(most, 50 + slack)
    assert len(tried) <= 8
    assert len(set(tried)) == len(tried) == len(told) + 1


@settings(max_examples=60)
@given(st.integers(50, 100), st.integers(50, 100), st.integers(40, 100))
def test_the_search_goes_on_above_a_quality_that_will_not_do(most: int, lowest: int, limit: int) -> None:
    told: list[None] = []

    def encode(quality: int) -> Encoded:
        took = next(tried for tried in (quality, quality + 20, 100) if lowest <= tried <= 100)
        return Encoded(bytes(took), took)

    if limit < lowest:
        with pytest.raises(ImageError, match=f"output_too_large: The file has {lowest} bytes at least"):
            fit(encode, most=most, max_bytes=limit)
        return
    found = fit(encode, most=most, max_bytes=limit, progress=lambda: told.append(None))
    assert found.quality is not None
    assert lowest <= found.quality <= limit
    assert found.quality == min(most, limit) or most < lowest
    assert len(told) < 8


def test_an_avif_that_needs_more_quality_says_between_encodings_that_it_moves() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)
    alpha = (np.indices((64, 64)).sum(0) % 2).astype(np.float32)
    told: list[None] = []
    encoding = Encoding("avif", quality=50, progress=lambda: told.append(None))
    made = render(noise, alpha, encoding, background=WHITE)
    check(made.file, alpha, encoding, background=WHITE)
    assert (made.quality, len(told)) == (100, 2)


def test_large_avifs_are_encoded_one_at_a_time(monkeypatch) -> None:
    monkeypatch.setattr(avif, "_LARGE_PX", 100)
    large, small = np.zeros((11, 10, 3), np.uint8), np.zeros((10, 10, 3), np.uint8)
    with ThreadPoolExecutor() as pool:
        with avif._one_large:
            assert pool.submit(avif.write_avif, small, 85).result(timeout=10)
            waiting = pool.submit(avif.write_avif, large, 85)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.1)
        assert waiting.result(timeout=10)


@pytest.mark.parametrize("encoding", [Encoding("png"), Encoding("png8"), Encoding("jpg"), Encoding("avif", quality=50)])
def test_what_can_not_be_small_enough_is_refused_with_its_size(product, encoding: Encoding) -> None:
    whole = len(render(*product, Encoding(encoding.format, quality=50), background=WHITE).file)
    with pytest.raises(ImageError, match="output_too_large") as refused:
        render(*product, Encoding(encoding.format, encoding.quality, max_bytes=1000), background=WHITE)
    told = re.search("The file has ([0-9]+) bytes at least, and max_bytes is 1000", str(refused.value))
    assert told
    if encoding.format == "avif":  # 50 was raised to 100, and less will do
        assert 1000 < int(told[1]) < whole
    else:
        assert int(told[1]) == whole


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", ["png", "tiff", "png8"])
def test_masks_of_both_depths(product, depth: int, kind) -> None:
    if kind == "png8" and depth == 16:
        return
    alpha = product[1]
    data = make_mask(alpha, Encoding(kind), depth=depth).file
    seen = tifffile.imread(BytesIO(data)) if kind == "tiff" else cv2.imdecode(np.frombuffer(data, np.uint8), -1)
    np.testing.assert_array_equal(seen, np.rint(alpha.astype(float) * (2**depth - 1)))
    with pytest.raises(ImageError, match="output_too_large"):
        make_mask(alpha, Encoding(kind, max_bytes=1000), depth=depth)


def test_a_zip_fits_and_has_an_alpha_of_16_bits(product) -> None:
    import zipfile  # noqa: PLC0415

    whole = make_zip(*product, depth=16)
    fitted = make_zip(*product, depth=16, max_bytes=len(whole.file) - 3000)
    assert (whole.quality, len(fitted.file) <= len(whole.file) - 3000) == (92, True)
    with zipfile.ZipFile(BytesIO(fitted.file)) as archive:
        alpha = np.asarray(Image.open(BytesIO(archive.read("alpha.png"))))
    np.testing.assert_array_equal(alpha, np.rint(product[1].astype(float) * 65535))
