import resource
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.photo_files import PNG_SIGNATURE, bomb_png, chunk, exif, quadrants, raw_png, save
from vision.codec.header import Limits, probe
from vision.errors import ImageError

LIMITS = Limits()

# Pillow warns of damaged metadata and goes on; that is what we want of it.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def code_of(data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(ImageError) as caught:
        probe(data, limits)
    return caught.value.code


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_reads_the_header_of_bytes_streams_and_files(name: str, tmp_path: Path) -> None:
    data = save(quadrants((48, 80)), name, exif=exif(orientation=6))
    path = tmp_path / "named.gif"
    path.write_bytes(data)
    stream = BytesIO(data)
    stream.seek(11)

    header = probe(data, LIMITS)

    assert (header.format, header.width_px, header.height_px) == (name.lower(), 80, 48)
    assert header.orientation == 6
    assert header.upright_hw == (80, 48)
    assert probe(stream, LIMITS) == header == probe(path, LIMITS)
    assert stream.tell() == 0


def test_a_phone_picture_with_a_second_frame_is_a_jpeg() -> None:
    first, second = Image.fromarray(quadrants()), Image.fromarray(quadrants()[::-1])
    header = probe(save(first, "MPO", save_all=True, append_images=[second]), LIMITS)
    assert (header.format, header.frames) == ("jpeg", 1)


@pytest.mark.parametrize("name", ["ICO", "PPM", "PDF", "EPS", "JPEG2000", "PCX", "TGA"])
def test_other_formats_are_refused_by_their_bytes(name: str) -> None:
    assert code_of(save(Image.fromarray(quadrants()), name)) == "invalid_file_type"


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<?xml version='1.0'?><svg/>",
        b"%PDF-1.7\n",
        b"8BPS\x00\x01" + bytes(64),
        b"SIMPLE  =                    T" + bytes(2880),
        b"PK\x03\x04" + bytes(40),
        b"<html>not found</html>",
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        b"\x00",
    ],
)
def test_disguised_files_are_refused(data: bytes) -> None:
    assert code_of(data) == "invalid_file_type"


def test_a_jpeg_with_a_zip_behind_it_is_a_jpeg() -> None:
    assert probe(save(quadrants(), "JPEG") + b"PK\x03\x04" + bytes(100), LIMITS).format == "jpeg"


@pytest.mark.parametrize("name", ["PNG", "WEBP"])
def test_animations_are_refused(name: str) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in range(20)]
    assert code_of(save(frames[0], name, save_all=True, append_images=frames[1:])) == "animated_image"


def test_an_empty_file_cannot_be_read() -> None:
    assert code_of(b"") == "failed_to_read_image"


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_a_header_that_is_cut_off_or_damaged_cannot_be_read(name: str) -> None:
    assert code_of(save(quadrants(), name)[:24]) == "failed_to_read_image"


@pytest.mark.parametrize("side_px", [9_000, 12_000, 14_000, 50_000, 2**31 - 1])
def test_a_bomb_is_refused_whatever_it_claims(side_px: int) -> None:
    assert code_of(bomb_png(side_px)) == "resolution_too_high"


def test_a_webp_that_claims_its_largest_size_is_refused() -> None:
    claim = (16_383).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + (10).to_bytes(4, "little") + bytes(4) + claim
    assert code_of(b"RIFF" + len(body).to_bytes(4, "little") + body) == "resolution_too_high"


@pytest.mark.parametrize("wh", [(16_384, 1), (1, 16_384)])
def test_a_thread_of_pixels_is_refused(wh: tuple[int, int]) -> None:
    assert code_of(raw_png(wh, 8, 0, bytes(10))) == "resolution_too_high"


def test_the_limits_are_inclusive() -> None:
    data = raw_png((100, 100), 8, 0, bytes(10))
    assert probe(data, Limits(max_megapixels=0.01, max_bytes=len(data), max_side_px=100)).megapixels == 0.01
    assert code_of(data, Limits(max_megapixels=0.009)) == "resolution_too_high"
    assert code_of(data, Limits(max_bytes=len(data) - 1)) == "file_too_large"


@pytest.mark.parametrize("wh", [(0, 5), (5, 0), (0, 0)])
def test_no_pixels_is_no_picture(wh: tuple[int, int]) -> None:
    assert code_of(raw_png(wh, 8, 0, b"")) == "failed_to_read_image"


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_a_text_bomb_is_not_inflated(kind: bytes) -> None:
    bomb = chunk(kind, b"name\0\0" + zlib.compress(bytes(400_000_000), 1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    data = raw_png((4, 4), 8, 0, bytes(20), before_pixels=bomb)
    with suppress(ImageError):
        probe(data, LIMITS)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize(
    "broken",
    [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"junk", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12"],
)
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_means_upright(name: str, broken: bytes) -> None:
    assert probe(save(quadrants(), name, exif=broken), LIMITS).orientation == 1


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_means_upright(value: int) -> None:
    assert probe(save(quadrants(), "JPEG", exif=exif(orientation=value)), LIMITS).orientation == 1


def test_pillows_own_limit_is_left_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS
    probe(save(quadrants(), "PNG"), Limits(max_megapixels=1))
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_damage_anywhere_is_an_image_error_or_nothing(name: str) -> None:
    rng = np.random.default_rng(7)
    whole = save(quadrants(), name, exif=exif(orientation=3, gps=True))
    for _ in range(150):
        data = bytearray(whole)
        for at in rng.integers(0, min(len(data), 400), 6):
            data[at] = rng.integers(256)
        with suppress(ImageError):
            assert probe(bytes(data), LIMITS).format == name.lower()


def test_png_signature_alone_is_a_damaged_png() -> None:
    assert code_of(PNG_SIGNATURE) == "failed_to_read_image"
