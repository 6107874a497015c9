"""One file and what has to become of it; and the drawings that the files are made of."""

from dataclasses import dataclass, field

import numpy as np

from vision.codec.header import Animated


@dataclass(frozen=True)
class Sample:
    """`image` and `alpha` as they have to come out, `within` so many levels; or `code`, `at_header` or later."""

    name: str
    data: bytes = field(repr=False)
    image: np.ndarray | None = field(default=None, repr=False)
    alpha: np.ndarray | None = field(default=None, repr=False)
    within: int = 0
    code: str | None = None
    at_header: bool = True
    animated: Animated = "refuse"
    icc: str | None = None


def refused(name: str, data: bytes, code: str, *, at_header: bool = True) -> Sample:
    return Sample(name, data, code=code, at_header=at_header)


def drawing(hw: tuple[int, int] = (24, 40)) -> np.ndarray:
    """Ramps with a bright and a dark block: no two turns of it are alike, and every level is used."""
    y, x = np.mgrid[0 : hw[0], 0 : hw[1]]
    image = np.stack([x * 255 // (hw[1] - 1), y * 255 // (hw[0] - 1), (x * 7 + y * 13) % 256], axis=-1).astype(np.uint8)
    image[2:7, 3:12] = (250, 20, 40)
    image[hw[0] - 8 : hw[0] - 3, hw[1] - 9 : hw[1] - 4] = (10, 60, 200)
    return image


def grey_of(image: np.ndarray) -> np.ndarray:
    """Some grey picture of the same size."""
    return image[..., 0] // 2 + image[..., 1] // 2


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def alpha_ramp(hw: tuple[int, int]) -> np.ndarray:
    """(H, W) from 0 to 255."""
    return np.linspace(0, 255, hw[0] * hw[1]).round().astype(np.uint8).reshape(hw)


def deepened(levels: np.ndarray, seed: int = 0) -> np.ndarray:
    """16 bit levels that round to these 8 bit ones, with noise in the low byte."""
    noise = np.random.default_rng(seed).integers(-120, 121, levels.shape)
    return np.clip(levels.astype(np.int64) * 257 + noise, 0, 65535).astype(np.uint16)


def plain_cmyk(ink: np.ndarray) -> np.ndarray:
    """(H, W, 4) ink to RGB by the plain formula, (1 - c)(1 - k)."""
    free = 255 - ink.astype(np.int64)
    return np.rint(free[..., :3] * free[..., 3:] / 255).astype(np.uint8)
