from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.images import draw
from tests.photo_files import COMMENT, MAKER, XMP, exif, quadrants, save
from vision.codec.decode import decode
from vision.codec.encode import decode_matte, encode_jpeg, encode_matte, encode_png, encode_webp
from vision.codec.header import Limits
from vision.codec.parts import foreign_parts
from vision.codec.verify import verify_background, verify_hidden

RNG = np.random.default_rng(3)


def opened(data: bytes) -> np.ndarray:
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image)


def cutout(hw: tuple[int, int] = (200, 260)) -> np.ndarray:
    drawing = draw("hair", "textured", hw)
    alpha = np.rint(drawing.alpha * 255).astype(np.uint8)
    rgba = np.dstack([np.rint(drawing.foreground).astype(np.uint8), alpha])
    rgba[alpha == 0] = 0
    return rgba


def flattened(colour: tuple[int, int, int], hw: tuple[int, int] = (203, 261)) -> tuple[np.ndarray, np.ndarray]:
    """A product with hair and saturated texture over one colour, and where that colour is pure."""
    drawing = draw("hair", "white", hw)
    product = np.clip(drawing.foreground + RNG.normal(0, 25, (*hw, 3)), 0, 255)
    alpha = drawing.alpha[..., None]
    image = np.rint(alpha * product + (1 - alpha) * np.float32(colour)).astype(np.uint8)
    background = drawing.alpha == 0
    image[background] = colour
    return image, background


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 1, 4), (1, 70, 4), (70, 1, 3), (129, 33, 4), (64, 64, 3), (65, 5, 4)])
def test_png_is_lossless(shape: tuple[int, ...]) -> None:
    pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(opened(encode_png(pixels)), pixels)


def test_png_of_a_cutout_is_lossless_and_a_view_is_as_good_as_a_copy() -> None:
    rgba = cutout()
    assert np.array_equal(opened(encode_png(rgba)), rgba)
    assert encode_png(rgba[::2, ::2]) == encode_png(rgba[::2, ::2].copy())


def test_png_says_srgb_and_is_whole() -> None:
    data = encode_png(cutout())
    with Image.open(BytesIO(data)) as image:
        image.verify()
        assert image.info == {"srgb": 0}


def test_matte_comes_back() -> None:
    alpha = RNG.random((37, 51), dtype=np.float32)
    data = encode_matte(alpha)
    with Image.open(BytesIO(data)) as image:
        assert image.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(image), np.rint(alpha.astype(float) * 65535))
    back = decode_matte(data)
    assert back.dtype == np.float32
    assert np.abs(back - alpha).max() <= 0.5 / 65535 + 1e-6
    assert encode_matte(back) == data


def test_a_matte_of_8_bits_is_what_the_fine_one_rounds_to() -> None:
    alpha = RNG.random((37, 51), dtype=np.float32)
    shallow = encode_matte(decode_matte(encode_matte(alpha)), depth=8)
    assert opened(shallow).dtype == np.uint8
    np.testing.assert_array_equal(opened(shallow), np.rint(np.rint(alpha.astype(float) * 65535) / 257))


@pytest.mark.parametrize("other", ["cutout", "8 bits"])
def test_a_stored_matte_is_grey_and_has_16_bits(other: str) -> None:
    alpha = RNG.random((5, 5), dtype=np.float32)
    with pytest.raises(ValueError, match="16 bit grey"):
        decode_matte(encode_png(cutout()) if other == "cutout" else encode_matte(alpha, depth=8))


def test_webp_keeps_alpha_exact_and_colour_near() -> None:
    rgba = cutout()
    back = opened(encode_webp(rgba))
    assert np.array_equal(back[..., 3], rgba[..., 3])
    solid = rgba[..., 3] == 255
    assert np.abs(back[solid][:, :3].astype(int) - rgba[solid][:, :3]).mean() < 8


def test_webp_of_rgb() -> None:
    assert opened(encode_webp(quadrants())).shape == (48, 80, 3)


@pytest.mark.parametrize("quality", [60, 85, 92, 98, 100])
def test_white_is_white_up_to_the_product(quality: int) -> None:
    image, background = flattened((255, 255, 255))
    check = verify_background(encode_jpeg(image, background, quality=quality), background, (255, 255, 255))
    assert check.is_exact, check


def test_pillows_jpeg_would_ring() -> None:
    image, background = flattened((255, 255, 255))
    check = verify_background(save(image, "JPEG", quality=92, subsampling=0), background, (255, 255, 255))
    assert check.wrong_px > 100
    assert check.worst > 2


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 0, 0), (0, 255, 255)])
def test_other_saturated_colours_are_exact_too(colour: tuple[int, int, int]) -> None:
    image, background = flattened(colour)
    assert verify_background(encode_jpeg(image, background), background, colour).is_exact


def test_any_colour_is_exact_away_from_the_product() -> None:
    colour = (243, 240, 17)
    image, background = flattened(colour)
    far = np.zeros_like(background)
    blocks = background[:200, :256].reshape(25, 8, 32, 8).all(axis=(1, 3))
    far[:200, :256] = blocks.repeat(8, axis=0).repeat(8, axis=1)
    assert far.any()
    data = encode_jpeg(image, background)
    assert verify_background(data, far, colour).is_exact
    assert verify_background(data, background, colour).worst < 30


def test_jpeg_is_as_good_as_pillows() -> None:
    image, background = flattened((255, 255, 255))
    ours, theirs = opened(encode_jpeg(image, background)), opened(save(image, "JPEG", quality=92, subsampling=0))
    product = ~background

    def error(back: np.ndarray) -> float:
        return float(((back[product].astype(float) - image[product]) ** 2).mean())

    assert error(ours) < 1.1 * error(theirs)


def test_jpeg_without_any_background_and_of_background_alone() -> None:
    image = quadrants((17, 9))
    nothing = np.zeros((17, 9), np.bool_)
    assert np.abs(opened(encode_jpeg(image, nothing)).astype(int) - image).mean() < 3
    white = np.full((17, 9, 3), 255, np.uint8)
    assert (opened(encode_jpeg(white, ~nothing)) == 255).all()


def test_verify_sees_a_wrong_background() -> None:
    image, background = flattened((255, 255, 255))
    image[tuple(np.argwhere(background)[0])] = (254, 255, 253)
    check = verify_background(encode_png(image), background, (255, 255, 255))
    assert (check.wrong_px, check.worst) == (1, 2)


def test_verify_sees_hidden_content() -> None:
    rgba = cutout()
    assert verify_hidden(encode_png(rgba)).is_exact
    rgba[0, 0] = (9, 0, 0, 0)
    assert verify_hidden(encode_png(rgba)).wrong_px == 1


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_no_private_data_in_any_output(name: str) -> None:
    """A photo with a maker, a GPS position, XMP and a comment goes in; pixels come out."""
    options = {"comment": COMMENT} if name == "JPEG" else {}
    photo = save(quadrants(), name, exif=exif(orientation=6, gps=True), xmp=XMP, **options)
    assert MAKER.encode() in photo
    assert any("EXIF" in part.upper() for part in foreign_parts(photo))

    image = decode(photo, Limits()).image
    background = np.zeros(image.shape[:2], np.bool_)
    rgba = np.dstack([image, np.full(background.shape, 200, np.uint8)])
    alpha = np.ones(background.shape, np.float32)
    outputs = [encode_png(rgba), encode_png(image), encode_webp(rgba), encode_webp(image)]
    for output in [*outputs, encode_jpeg(image, background), encode_matte(alpha)]:
        assert foreign_parts(output) == ()
        assert MAKER.encode() not in output
        with Image.open(BytesIO(output)) as opened_output:
            assert not opened_output.getexif()


def test_bytes_behind_the_end_are_foreign() -> None:
    image = quadrants()
    for data in (encode_png(image), encode_webp(image), encode_jpeg(image, np.zeros(image.shape[:2], np.bool_))):
        assert foreign_parts(data + b"PK") == ("bytes behind the end",)
