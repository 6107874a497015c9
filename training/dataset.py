"""The order in which a network sees samples, decided in advance by the seed: a run can stop and resume anywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from training.augment import augment, to_canvas
from training.manifest import Row, load_photo, shrink
from training.prepare import SCENE_GROUPS, Materials, pack, scene_limit_px
from training.recipe import Phase, Recipe
from training.synthesis import empty_scene, scene
from vision.arrays import Hw, RgbaImage

OTHER_PHOTOS = "photos"
"""Group of all photos whose source a phase does not name."""


@dataclass(frozen=True)
class Visits:
    """What a phase shows, in order: the group of each visit and the position in that group."""

    names: tuple[str, ...]
    groups: NDArray[np.int64]
    positions: NDArray[np.int64]

    def window(self, first: int, count: int) -> "Visits":
        """Visits `first` to `first + count`."""
        return Visits(self.names, self.groups[first : first + count], self.positions[first : first + count])


def plan_visits(sizes: Mapping[str, int], shares: Mapping[str, float], count: int, seed: Sequence[int]) -> Visits:
    """`count` visits: groups by share, each group in shuffled rounds. A group of size 0 has no end: 0, 1, 2, ...

    ValueError when `shares` names a group that `sizes` does not have.
    """
    if missing := set(shares) - set(sizes):
        raise ValueError(f"no samples of {sorted(missing)}; there are {sorted(sizes)}")
    rng = np.random.default_rng([*seed, 1])
    weights = np.array(list(shares.values())) / sum(shares.values())
    groups = rng.choice(len(shares), size=count, p=weights)
    positions = np.empty(count, np.int64)
    for number, name in enumerate(shares):
        slots = np.flatnonzero(groups == number)
        if sizes[name]:
            rounds = [rng.permutation(sizes[name]) for _ in range(-(-len(slots) // sizes[name]))]
            positions[slots] = np.concatenate(rounds)[: len(slots)] if rounds else []
        else:
            positions[slots] = np.arange(len(slots))
    return Visits(tuple(shares), groups, positions)


def group_members(materials: Materials, phase: Phase) -> dict[str, NDArray[np.int64]]:
    """Positions in their store of each group that the phase may name; drawn scenes have none."""
    members = {name: _where(materials.photos.groups, {name}) for name in set(materials.photos.groups)}
    if others := set(members) - set(phase.shares):
        members[OTHER_PHOTOS] = _where(materials.photos.groups, others)
    for name in SCENE_GROUPS:
        members[name] = _where(materials.scenes.groups if materials.scenes else [], {name})
    return members


class VisitDataset(Dataset[tuple[Tensor, Tensor]]):
    """Visits `first` to `first + count` of phase number `number`, each made by a generator of its own."""

    def __init__(self, recipe: Recipe, materials: Materials, number: int, first: int, count: int) -> None:
        self._recipe = recipe
        self._materials = materials
        self._phase = recipe.phases[number]
        self._members = group_members(materials, self._phase)
        sizes = {name: len(positions) for name, positions in self._members.items()}
        whole = recipe.epochs(self._phase) * recipe.epoch_samples
        self._visits = plan_visits(sizes, self._phase.shares, whole, [recipe.seed, number]).window(first, count)
        self._seed = (recipe.seed, 2, number)
        self._first = first

    def __len__(self) -> int:
        return len(self._visits.groups)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Image (3, h, w) uint8 and target (1, h, w) float32."""
        name = self._visits.names[self._visits.groups[index]]
        hw = (self._phase.canvas_px, self._phase.canvas_px)
        rng = np.random.default_rng([*self._seed, self._first + index])
        pixels = self._pixels(rng, name, int(self._visits.positions[index]))
        if not self._phase.augment:
            return as_tensors(*to_canvas(pixels, hw))
        return as_tensors(*augment(rng, pixels, hw, camera=name not in SCENE_GROUPS))

    def _pixels(self, rng: np.random.Generator, name: str, position: int) -> RgbaImage:
        if name not in SCENE_GROUPS:
            return self._materials.photos[int(self._members[name][position])]
        if self._materials.scenes is not None:
            return self._materials.scenes[int(self._members[name][position])]
        draw = scene if name == "composite" else empty_scene
        return draw(rng, self._materials.kit, scene_limit_px(self._phase.canvas_px), self._recipe.scenes)


class PhotoDataset(Dataset[tuple[Tensor, Tensor]]):
    """Photos as they are, letterboxed: for validation."""

    def __init__(self, rows: Sequence[Row], canvas_hw: Hw) -> None:
        self._rows = rows
        self._hw = canvas_hw

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Image (3, h, w) uint8 and target (1, h, w) float32."""
        image, alpha = load_photo(self._rows[index])
        side = max(self._hw)
        return as_tensors(*to_canvas(pack(shrink(image, side), shrink(alpha, side)), self._hw))


def as_tensors(image: NDArray[np.uint8], alpha: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """(H, W, 3) uint8 and (H, W) float32 -> (3, H, W) and (1, H, W)."""
    return torch.from_numpy(image.transpose(2, 0, 1).copy()), torch.from_numpy(alpha)[None]


def _where(groups: Sequence[str], wanted: set[str]) -> NDArray[np.int64]:
    return np.flatnonzero(np.isin(np.array(groups, dtype=str), list(wanted)))
