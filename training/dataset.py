"""The order in which a network sees samples, decided in advance by the seed: a run can stop and resume anywhere."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from training.augment import augment
from training.store import Store
from vision.arrays import Hw


def plan_visits(groups: Sequence[str], shares: Mapping[str, float], count: int, seed: Sequence[int]) -> list[int]:
    """`count` positions in the store: groups by share, each group in shuffled rounds. ValueError for odd names."""
    if missing := set(shares) - set(groups):
        raise ValueError(f"no samples of {sorted(missing)}")
    rng = np.random.default_rng([*seed, 1])
    members = {name: np.flatnonzero(np.array(groups) == name) for name in shares}
    weights = np.array(list(shares.values())) / sum(shares.values())
    drawn = rng.choice(len(shares), size=count, p=weights)
    visits = np.empty(count, np.int64)
    for number, name in enumerate(shares):
        slots = np.flatnonzero(drawn == number)
        rounds = -(-len(slots) // len(members[name]))
        order = [rng.permutation(members[name]) for _ in range(rounds)]
        visits[slots] = np.concatenate(order)[: len(slots)] if order else []
    return [int(visit) for visit in visits]


class VisitDataset(Dataset[tuple[Tensor, Tensor]]):
    """Visits `first` to `first + len(positions)` of a plan, each augmented by a generator of its own."""

    def __init__(self, stores: Sequence[Store], positions: Sequence[int], first: int, seed: int, hw: Hw) -> None:
        self._stores = stores
        self._positions = positions
        self._first = first
        self._seed = seed
        self._hw = hw

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Image (3, h, w) uint8 and target (1, h, w) float32."""
        position, store = self._positions[index], 0
        while position >= len(self._stores[store]):
            position -= len(self._stores[store])
            store += 1
        rng = np.random.default_rng([self._seed, 2, self._first + index])
        image, alpha = augment(rng, self._stores[store][position], self._hw)
        return torch.from_numpy(image.transpose(2, 0, 1).copy()), torch.from_numpy(alpha)[None]
