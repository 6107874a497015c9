"""What watches a run: averaged weights, checkpoints, pictures, a line per epoch."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    TQDMProgressBar,
    WeightAveraging,
)
from torch import Tensor

from training.recipe import Recipe
from training.task import SegmentationTask

Report = Callable[[str], None]
LAST, BEST = "last", "best"
PICTURES = 8


def build_callbacks(recipe: Recipe, run_dir: Path, report: Report, *, is_last_phase: bool) -> list[Callback]:
    """All of a phase. Checkpoints are written after every epoch: `last.ckpt`, and `best.ckpt` by validation IoU."""
    callbacks: list[Callback] = [
        WeightAveraging(multi_avg_fn=moving_average(recipe.ema_decay)),
        LearningRateMonitor("epoch"),
        Lines(report),
    ]
    if sys.stderr.isatty():
        callbacks.append(TQDMProgressBar())
    if recipe.data.validation_photos:
        callbacks.append(SamplePictures())
        callbacks.append(_checkpoint(run_dir, BEST, monitor="val/iou"))
        if recipe.patience and is_last_phase:
            callbacks.append(_early_stopping(recipe.patience))
    return [*callbacks, _checkpoint(run_dir, LAST, monitor=None)]


def has_stopped_early(last: Path) -> bool:
    """Whether a run's last checkpoint was written as its patience ended; such a run is over."""
    if not last.is_file():
        return False
    watchers: dict[str, Any] = torch.load(last, map_location="cpu", weights_only=True, mmap=True)["callbacks"]
    key = _early_stopping(patience=1).state_key
    return key in watchers and bool(watchers[key]["wait_count"] >= watchers[key]["patience"])


def moving_average(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor], None]:
    """An exponential moving average, with a shorter memory at first, so that the random start is soon forgotten."""

    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor) -> None:
        steps = int(count)
        share = 1 - min(decay, (1 + steps) / (10 + steps))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(list(averaged), list(current), share)
        else:
            torch._foreach_copy_(list(averaged), list(current))

    return update


class Lines(Callback):
    """A line per epoch, which a log keeps where a progress bar would not."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Say the epoch's figures."""
        if trainer.is_global_zero:
            names = ("train/loss", "val/loss", "val/iou", "val/mae")
            found = {name: trainer.callback_metrics[name] for name in names if name in trainer.callback_metrics}
            figures = " ".join(f"{name} {float(value):.4f}" for name, value in found.items())
            self._report(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs} step {trainer.global_step} {figures}")


class SamplePictures(Callback):
    """Photo, truth and alpha of the same few validation photos after every epoch, for TensorBoard."""

    def __init__(self) -> None:
        self._rows: list[Tensor] = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,  # noqa: ARG002
        batch: tuple[Tensor, Tensor],
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Collect the first few."""
        if not trainer.is_global_zero or not isinstance(pl_module, SegmentationTask):
            return
        for image, target in zip(*batch, strict=True):
            if len(self._rows) < PICTURES:
                alpha = torch.sigmoid(pl_module.network(image[None].float())[0].float())
                columns = [image.float() / 255, target.expand(3, -1, -1), alpha.expand(3, -1, -1)]
                self._rows.append(torch.cat(columns, dim=2).cpu())

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Write them as one picture."""
        if self._rows and isinstance(trainer.logger, pl.loggers.TensorBoardLogger):
            trainer.logger.experiment.add_image("photo, truth, alpha", torch.cat(self._rows, 1), trainer.global_step)
        self._rows = []


def _early_stopping(patience: int) -> EarlyStopping:
    return EarlyStopping("val/iou", mode="max", patience=patience)


def _checkpoint(run_dir: Path, name: str, monitor: str | None) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=run_dir,
        filename=name,
        monitor=monitor,
        mode="max",
        save_top_k=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
