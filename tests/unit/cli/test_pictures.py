"""Contact sheet and bench photo."""

import hashlib
from io import BytesIO

import numpy as np
from PIL import Image

from cli.samples import camera_jpeg, sample_photos, with_comment
from cli.sheet import SheetRow, contact_sheet


def test_a_sheet_shows_before_checkerboard_and_white() -> None:
    before = Image.new("RGB", (480, 360), (10, 20, 200))
    cutout = Image.new("RGBA", (480, 360), (0, 0, 0, 0))
    cutout.paste((200, 20, 10, 255), (120, 90, 360, 270))
    sheet = contact_sheet([SheetRow(before, cutout, ("mug.jpg", "decode 5 ms"))] * 2)
    corners = [sheet.getpixel((16 + column * 496 + 2, 18)) for column in range(3)]
    middles = [sheet.getpixel((16 + column * 496 + 240, 16 + 180)) for column in range(3)]
    assert corners == [(10, 20, 200), (204, 204, 204), (255, 255, 255)]
    assert middles == [(10, 20, 200), (200, 20, 10), (200, 20, 10)]
    assert sheet.height > 2 * 360


def test_samples_are_real_files() -> None:
    photos = sample_photos()
    assert "coffee" in photos
    for path in photos.values():
        with Image.open(path) as photo:
            photo.load()


def test_a_comment_changes_the_bytes_and_no_pixel() -> None:
    out = BytesIO()
    Image.effect_noise((64, 48), 40).convert("RGB").save(out, "JPEG")
    copies = [with_comment(out.getvalue(), f"photo-{number}") for number in range(3)]
    assert len({hashlib.sha256(copy).digest() for copy in copies}) == 3
    first, *others = [np.asarray(Image.open(BytesIO(copy))) for copy in copies]
    assert all((first == other).all() for other in others)


def test_the_bench_photo_is_like_one_of_a_camera() -> None:
    jpeg = camera_jpeg()
    with Image.open(BytesIO(jpeg)) as photo:
        assert photo.size == (4000, 3000)
    # A phone's 12 megapixels take 2 to 6 MB; a smooth drawing would take a tenth.
    assert 2e6 < len(jpeg) < 6e6
