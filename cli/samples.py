"""Real photos that installed packages carry, for the demo and the bench; nothing is downloaded."""

import io
import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from cli.plan import PHOTO_ENDINGS

# (package, file, what it shows): photos with one thing in them and one with none, read where they are installed.
# coffee: CC0, by Rachel Michetti; brick: CC0, cc0textures.com; motorcycle: Middlebury stereo data, 2014;
# flower: CC BY 2.0, flickr.com/photos/vultilion. scikit-image and scikit-learn say so beside them.
SAMPLES = (
    ("skimage", "data/coffee.png", "coffee"),
    ("skimage", "data/motorcycle_left.png", "motorcycle"),
    ("sklearn", "datasets/images/flower.jpg", "flower"),
    ("skimage", "data/brick.png", "wall"),
)
_BENCH_WH = (4000, 3000)
_NOISE_LEVELS = 4.0


class NoPhotosError(Exception):
    """There is no photo to work on; the message says what helps."""


def sample_photos() -> dict[str, Path]:
    """Name -> file. `NoPhotosError` where the packages of the extra `demo` are not installed."""
    found = {}
    for package, file, name in SAMPLES:
        spec = find_spec(package)
        folder = Path(spec.origin).parent if spec and spec.origin else None
        if folder and (folder / file).is_file():
            found[name] = folder / file
    if not found:
        raise NoPhotosError("scikit-image and scikit-learn carry the photos; pip install 'packshot[demo]'.")
    return found


def photos_in(folder: Path) -> dict[str, Path]:
    """Name -> file of the photos in one folder. `NoPhotosError` where there is none."""
    files = [path for path in sorted(folder.glob("*")) if path.suffix.lower() in PHOTO_ENDINGS]
    if not files:
        raise NoPhotosError(f"There is no photo (.jpg, .png, .tif, .heic ...) in {folder}.")
    return {path.name: path for path in files}


def camera_jpeg() -> bytes:
    """A 12 megapixel JPEG of the coffee cup, with the grain of a sensor, so that it compresses as photos do."""
    with Image.open(sample_photos()["coffee"]) as coffee:
        height = coffee.height
        width = height * _BENCH_WH[0] // _BENCH_WH[1]
        left = (coffee.width - width) // 2
        middle = coffee.convert("RGB").crop((left, 0, left + width, height))
    large = np.asarray(middle.resize(_BENCH_WH, Image.Resampling.LANCZOS), np.float32)
    grain = np.random.default_rng(12).standard_normal(large.shape[:2]).astype(np.float32) * _NOISE_LEVELS
    photo = np.clip(large + grain[..., None], 0, 255).round().astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(photo).save(out, "JPEG", quality=90, subsampling="4:2:0")
    return out.getvalue()


def with_comment(jpeg: bytes, comment: str) -> bytes:
    """The same photo under another sha256: a comment segment after the start marker, so that no result is reused."""
    text = comment.encode()
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + jpeg[2:]
