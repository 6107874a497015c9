"""Decoded training samples in a few flat files, so that an epoch costs no decoding."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vision.arrays import RgbaImage

FORMAT = 3
"""Of the files; stores of another one are written anew."""
SHARD_BYTES = 1 << 30
"""A new file begins once one is this large."""
INDEX_FILE = "index.npz"


def write_store(folder: Path, samples: Iterable[tuple[str, RgbaImage]]) -> int:
    """Append every (group, (H, W, 4) uint8 pixels whose fourth channel is the target) to the current shard.

    The index is written last: a folder with an index is complete. Returns the number of samples.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups: list[str] = []
    places: list[tuple[int, int, int, int]] = []
    shard, offset = 0, 0
    shard_path(folder, shard).write_bytes(b"")
    for group, pixels in samples:
        if offset >= SHARD_BYTES:
            shard, offset = shard + 1, 0
            shard_path(folder, shard).write_bytes(b"")
        with shard_path(folder, shard).open("ab") as file:
            file.write(np.ascontiguousarray(pixels).tobytes())
        groups.append(group)
        places.append((shard, offset, pixels.shape[0], pixels.shape[1]))
        offset += pixels.size
    np.savez(folder / INDEX_FILE, groups=np.array(groups, dtype=str), places=np.array(places, np.int64).reshape(-1, 4))
    return len(groups)


def shard_path(folder: Path, number: int) -> Path:
    """A store's file number `number`."""
    return folder / f"pixels-{number:03}.bin"


def is_complete(folder: Path) -> bool:
    """Whether `write_store` finished here."""
    return (folder / INDEX_FILE).is_file()


class Store:
    """Random access to what `write_store` wrote."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / INDEX_FILE) as index:
            self.groups: list[str] = index["groups"].tolist()
            self._places = index["places"]
        shards = int(self._places[:, 0].max()) + 1 if len(self._places) else 0
        self._pixels = [np.memmap(shard_path(folder, number), np.uint8, "r") for number in range(shards)]

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, position: int) -> RgbaImage:
        """(H, W, 4) uint8, read-only."""
        shard, offset, height, width = (int(value) for value in self._places[position])
        return self._pixels[shard][offset : offset + height * width * 4].reshape(height, width, 4)
