"""Decoded training samples in one flat file, so that an epoch costs no decoding."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vision.arrays import RgbaImage

PIXELS_FILE = "pixels.bin"
INDEX_FILE = "index.npz"


def write_store(folder: Path, samples: Iterable[tuple[str, RgbaImage]]) -> int:
    """Append every (group, (H, W, 4) uint8 pixels whose fourth channel is the target) to one file.

    The index is written last: a folder with an index is complete. Returns the number of samples.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups: list[str] = []
    places: list[tuple[int, int, int]] = []
    offset = 0
    with (folder / PIXELS_FILE).open("wb") as file:
        for group, pixels in samples:
            file.write(np.ascontiguousarray(pixels).tobytes())
            groups.append(group)
            places.append((offset, pixels.shape[0], pixels.shape[1]))
            offset += pixels.size
    np.savez(folder / INDEX_FILE, groups=np.array(groups), places=np.array(places, np.int64).reshape(-1, 3))
    return len(groups)


def is_complete(folder: Path) -> bool:
    """Whether `write_store` finished here."""
    return (folder / INDEX_FILE).is_file()


class Store:
    """Random access to what `write_store` wrote."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / INDEX_FILE) as index:
            self.groups: list[str] = index["groups"].tolist()
            self._places = index["places"]
        self._pixels = np.memmap(folder / PIXELS_FILE, np.uint8, "r")

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, position: int) -> RgbaImage:
        """(H, W, 4) uint8, read-only."""
        offset, height, width = (int(value) for value in self._places[position])
        return self._pixels[offset : offset + height * width * 4].reshape(height, width, 4)
