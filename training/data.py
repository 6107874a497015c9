"""Loaders for Lightning: one epoch's visits at a time."""

from collections.abc import Sequence
from pathlib import Path

import lightning.pytorch as pl
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from training.dataset import PhotoDataset, VisitDataset
from training.manifest import Row
from training.prepare import Materials, prepare, validation_rows
from training.recipe import Recipe

Batch = tuple[Tensor, Tensor]
"""Images (N, 3, H, W) uint8, targets (N, 1, H, W) float32."""


class RunData(pl.LightningDataModule):
    """Samples of a run. The first process of each machine fills the stores, the others open them."""

    materials: Materials

    def __init__(self, recipe: Recipe, rows: Sequence[Row], cache_dir: Path) -> None:
        super().__init__()
        self._recipe = recipe
        self._rows = rows
        self._cache_dir = cache_dir
        self.validation = validation_rows(recipe, rows)
        self.phase = 0
        self.first_epoch = 0

    def prepare_data(self) -> None:
        """Write what is missing on disk."""
        prepare(self._recipe, self._rows, self._cache_dir)

    def setup(self, stage: str) -> None:  # noqa: ARG002 - Lightning's signature
        """Open the stores."""
        self.materials = prepare(self._recipe, self._rows, self._cache_dir)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Visits of the current epoch."""
        recipe = self._recipe
        phase = recipe.phases[self.phase]
        # Before a phase's first epoch Lightning asks once while it still counts the epoch of the checkpoint.
        epoch = max(0, self._trainer().current_epoch - self.first_epoch)
        count = recipe.steps_per_epoch(phase) * phase.batch
        visits = VisitDataset(recipe, self.materials, self.phase, epoch * count, count)
        return self._loader(visits, phase.batch // self._trainer().world_size)

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Photos that choose the best weights; none when the recipe wants none."""
        if not self.validation:
            return []
        return self._loader(PhotoDataset(self.validation, self._recipe.model.canvas_hw), batch=4)

    def _loader(self, dataset: VisitDataset | PhotoDataset, batch: int) -> DataLoader[Batch]:
        workers, trainer = self._recipe.loader_workers, self._trainer()
        # In order: every process takes its part of the very batch that a single process would take.
        order: DistributedSampler[Batch] = DistributedSampler(
            dataset, trainer.world_size, trainer.global_rank, shuffle=False
        )
        return DataLoader(dataset, batch, sampler=order, num_workers=workers, prefetch_factor=4 if workers else None)

    def _trainer(self) -> pl.Trainer:
        if self.trainer is None:
            raise RuntimeError("loaders are made for a trainer")
        return self.trainer
