from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.photo_files import (
    adobe_rgb_profile,
    adobe_rgb_to_srgb,
    chunk,
    exif,
    matrix_profile,
    quadrants,
    raw_png,
    save,
    stored_for,
)
from vision.codec.decode import Decoded, decode
from vision.codec.header import Limits
from vision.errors import ImageError

LIMITS = Limits()
LOSSLESS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True, "exact": True},
}
TOLERANCE = {"JPEG": 3, "PNG": 0, "WEBP": 0}


def gradient(hw: tuple[int, int] = (32, 64)) -> np.ndarray:
    y, x = np.mgrid[0 : hw[0], 0 : hw[1]]
    return np.stack([x * 255 // (hw[1] - 1), y * 255 // (hw[0] - 1), 255 - x * 255 // (hw[1] - 1)], axis=-1).astype(
        np.uint8
    )


def worst(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


def read(data: bytes) -> Decoded:
    decoded = decode(data, LIMITS)
    assert decoded.image.dtype == np.uint8
    assert decoded.image.flags.c_contiguous
    return decoded


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_the_eight_orientations(name: str, orientation: int) -> None:
    shown = quadrants((48, 80))
    data = save(stored_for(shown, orientation), name, exif=exif(orientation=orientation), **LOSSLESS[name])
    decoded = read(data)
    assert worst(decoded.image, shown) <= TOLERANCE[name]
    assert decoded.facts.orientation == orientation


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("name", ["PNG", "WEBP"])
def test_alpha_turns_with_the_image(name: str, orientation: int) -> None:
    shown = np.dstack([quadrants(), gradient((48, 80))[..., 0]])
    data = save(stored_for(shown, orientation), name, exif=exif(orientation=orientation), **LOSSLESS[name])
    decoded = read(data)
    assert np.array_equal(decoded.image, shown[..., :3])
    assert decoded.alpha is not None
    assert np.array_equal(decoded.alpha, shown[..., 3])


def test_opaque_alpha_is_no_alpha() -> None:
    assert read(save(np.dstack([quadrants(), np.full((48, 80), 255, np.uint8)]), "PNG")).alpha is None


def test_adobe_rgb_becomes_srgb() -> None:
    stored = np.clip(gradient(), 60, 200)
    decoded = read(save(stored, "PNG", icc_profile=adobe_rgb_profile()))
    assert decoded.facts.icc == "converted"
    assert worst(stored, adobe_rgb_to_srgb(stored)) > 10
    assert worst(decoded.image, adobe_rgb_to_srgb(stored)) <= 2


@pytest.mark.parametrize("name", ["JPEG", "WEBP"])
def test_icc_in_the_other_formats(name: str) -> None:
    stored = np.full((16, 16, 3), (60, 190, 90), np.uint8)
    decoded = read(save(stored, name, icc_profile=adobe_rgb_profile(), **LOSSLESS[name]))
    assert worst(decoded.image, adobe_rgb_to_srgb(stored)) <= 5


def test_a_profile_of_srgb_leaves_the_pixels_alone() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    decoded = read(save(gradient(), "PNG", icc_profile=profile))
    assert decoded.facts.icc == "srgb"
    assert np.array_equal(decoded.image, gradient())


@pytest.mark.parametrize("profile", [b"nonsense", adobe_rgb_profile()[:200], b"\0" * 128])
def test_a_broken_profile_counts_as_srgb_and_says_so(profile: bytes) -> None:
    decoded = read(save(gradient(), "PNG", icc_profile=profile))
    assert decoded.facts.icc == "broken"
    assert np.array_equal(decoded.image, gradient())


def test_a_profile_for_other_channels_counts_as_broken() -> None:
    cmyk = matrix_profile((0.6, 0.3, 0), (0.2, 0.6, 0), (0.15, 0.06, 0.7), gamma=2.2, space=b"CMYK")
    assert read(save(gradient(), "PNG", icc_profile=cmyk)).facts.icc == "broken"


def test_grey_with_a_colour_profile() -> None:
    grey = gradient()[..., 0]
    decoded = read(save(grey, "PNG", icc_profile=adobe_rgb_profile()))
    assert decoded.facts.icc == "converted"
    assert np.ptp(decoded.image.astype(int), axis=2).max() <= 2


def test_cmyk_as_editors_write_it() -> None:
    """Pillow writes Adobe's inverted CMYK, as Photoshop does."""
    ink = np.zeros((16, 32, 4), np.uint8)
    ink[:, 16:] = (0, 255, 255, 0)
    data = save(Image.fromarray(ink, "CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data
    image = read(data).image
    assert worst(image[:, :8], np.full((16, 8, 3), 255, np.uint8)) <= 2
    assert worst(image[:, 24:], np.broadcast_to(np.array([255, 0, 0], np.uint8), (16, 8, 3))) <= 3


def deep_rows(levels: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)


@pytest.mark.parametrize(("bits", "colour_type"), [(8, 0), (8, 2), (16, 0), (16, 2)])
def test_one_transparent_colour(bits: int, colour_type: int) -> None:
    channels = {0: 1, 2: 3}[colour_type]
    levels = np.full((4, 6, channels), 7000 if bits == 16 else 70)
    levels[1:3, 2:4] = 9000 if bits == 16 else 90
    key = chunk(b"tRNS", levels[0, 0].astype(">u2").tobytes())
    rows = deep_rows(levels) if bits == 16 else b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in levels)
    alpha = read(raw_png((6, 4), bits, colour_type, rows, before_pixels=key)).alpha
    assert alpha is not None
    assert np.array_equal(alpha == 255, (levels != levels[0, 0]).any(axis=2))
    assert set(np.unique(alpha)) == {0, 255}


def test_palette_with_transparency() -> None:
    palette = chunk(b"PLTE", bytes((10, 20, 30, 200, 100, 50, 0, 255, 0))) + chunk(b"tRNS", bytes((0, 128)))
    decoded = read(raw_png((3, 1), 8, 3, bytes((0, 0, 1, 2)), before_pixels=palette))
    assert decoded.image.tolist() == [[[10, 20, 30], [200, 100, 50], [0, 255, 0]]]
    assert decoded.alpha is not None
    assert decoded.alpha.tolist() == [[0, 128, 255]]


def test_palette_without_transparency() -> None:
    palette = chunk(b"PLTE", bytes((10, 20, 30, 200, 100, 50)))
    decoded = read(raw_png((2, 1), 8, 3, bytes((0, 0, 1)), before_pixels=palette))
    assert decoded.image.tolist() == [[[10, 20, 30], [200, 100, 50]]]
    assert decoded.alpha is None


def test_grey_with_alpha_and_one_bit() -> None:
    decoded = read(save(Image.fromarray(np.array([[[10, 200], [250, 0]]], np.uint8), "LA"), "PNG"))
    assert decoded.image.tolist() == [[[10] * 3, [250] * 3]]
    assert decoded.alpha is not None
    assert decoded.alpha.tolist() == [[200, 0]]
    one_bit = read(raw_png((8, 1), 1, 0, bytes((0, 0b10100001))))
    assert one_bit.image[0, :, 0].tolist() == [255, 0, 255, 0, 0, 0, 0, 255]


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("hw", [(1, 1), (1, 300), (300, 1), (129, 7)])
def test_odd_sizes(name: str, hw: tuple[int, int]) -> None:
    image = np.full((*hw, 3), (90, 120, 60), np.uint8)
    assert worst(read(save(image, name, **LOSSLESS[name])).image, image) <= 2


@pytest.mark.parametrize("share", [0.4, 0.7, 0.97])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_cut_off_files_cannot_be_read(name: str, share: float) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    data = save(noise, name)
    with pytest.raises(ImageError) as caught:
        decode(data[: int(len(data) * share)], LIMITS)
    assert caught.value.code == "failed_to_read_image"


def test_progressive_jpeg() -> None:
    assert worst(read(save(quadrants(), "JPEG", progressive=True, **LOSSLESS["JPEG"])).image, quadrants()) <= 3


def test_colour_under_alpha_is_kept_for_the_caller_to_judge() -> None:
    rgba = np.dstack([quadrants(), np.zeros((48, 80), np.uint8)])
    assert np.array_equal(read(save(rgba, "PNG")).image, quadrants())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_damaged_pixels_are_an_image_error_or_a_picture(name: str) -> None:
    rng = np.random.default_rng(11)
    whole = save(quadrants(), name, exif=exif(orientation=5), icc_profile=adobe_rgb_profile())
    read_whole = 0
    for _ in range(120):
        data = bytearray(whole)
        data[int(rng.integers(20, len(data)))] = int(rng.integers(256))
        try:
            decoded = decode(bytes(data), LIMITS)
        except ImageError:
            continue
        assert decoded.image.ndim == 3
        read_whole += 1
    assert read_whole < 120 or name == "JPEG"
