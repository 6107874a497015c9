"""What scenes are made of: cut-outs and backgrounds, read from disk as they are needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from training.cutouts import Cutout
from training.store import Store
from vision.arrays import RgbaImage, RgbImage


@dataclass(frozen=True)
class Kit:
    """`exact` cut-outs have true alpha, `rough` ones come from masks; any of the four may be empty."""

    exact: Sequence[Cutout]
    rough: Sequence[Cutout]
    rooms: Sequence[RgbImage]
    surfaces: Sequence[RgbImage]


class StoredCutouts(Sequence[Cutout]):
    """The samples of some groups of a store, as cut-outs. Pages of the file are shared by all processes."""

    def __init__(self, store: Store, groups: Sequence[str]) -> None:
        self._store = store
        self._positions = [position for position, group in enumerate(store.groups) if group in groups]

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> Cutout: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Cutout]: ...
    def __getitem__(self, index: int | slice) -> Cutout | Sequence[Cutout]:
        """Cut-out number `index`."""
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        return as_cutout(self._store[self._positions[index]])


class StoredPhotos(Sequence[RgbImage]):
    """The samples of one group of a store, without their fourth channel."""

    def __init__(self, store: Store, group: str) -> None:
        self._store = store
        self._positions = [position for position, name in enumerate(store.groups) if name == group]

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> RgbImage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RgbImage]: ...
    def __getitem__(self, index: int | slice) -> RgbImage | Sequence[RgbImage]:
        """Photo number `index`, (H, W, 3) uint8."""
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        return np.ascontiguousarray(self._store[self._positions[index]][..., :3])


def as_cutout(pixels: RgbaImage) -> Cutout:
    """Four stored channels as a cut-out."""
    return Cutout(np.ascontiguousarray(pixels[..., :3]), pixels[..., 3].astype(np.float32) / np.float32(255))
