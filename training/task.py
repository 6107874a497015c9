"""The network in training, as Lightning wants it."""

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from training.freezing import freeze_levels, set_modes
from training.losses import segmentation_losses
from training.recipe import Phase, Recipe
from vision.segmenters.network import build_network

THRESHOLD = 0.5


class SegmentationTask(pl.LightningModule):
    """A recipe's network, its loss, its optimizer and its rates. Whoever trains calls `enter` before each phase."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.network = build_network(recipe.model).to(memory_format=torch.channels_last)
        self.save_hyperparameters({"model": asdict(recipe.model)})

    def learns_from(self, licence_classes: tuple[str, ...]) -> None:
        """Checkpoints, and the models made of them, name these classes."""
        self.save_hyperparameters({"model": asdict(replace(self.recipe.model, learnt_from=licence_classes))})

    def enter(self, phase: Phase) -> None:
        """Freeze what this phase leaves as it is."""
        self.train()
        freeze_levels(self.network, phase.frozen_levels)

    def on_train_epoch_start(self) -> None:
        """Batch norm as the recipe says; dropout that does not depend on what ran before."""
        set_modes(self.network, self.recipe.batchnorm)
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.current_epoch * 1009 + self.global_rank)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """The mean loss of a batch."""
        images, targets = batch
        parts = self.network.parts(_floats(images))
        losses = {name: each.mean() for name, each in segmentation_losses(parts, targets, self.recipe.loss).items()}
        self.log_dict(
            {f"train/{name}": each.detach() for name, each in losses.items()},
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(images),
        )
        self.log("loss", losses["loss"].detach(), prog_bar=True, logger=False)
        return losses["loss"]

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Loss, IoU at 0.5 and MAE on the model's own canvas, by the averaged weights."""
        images, targets = batch
        parts = self.network.parts(_floats(images))
        loss = segmentation_losses(parts, targets, self.recipe.loss)["loss"]
        alpha = torch.sigmoid(parts[0].float())
        figures = {"loss": loss, "iou": _iou(alpha, targets), "mae": (alpha - targets).abs().mean((1, 2, 3))}
        self.log_dict(
            {f"val/{name}": each.mean() for name, each in figures.items()}, sync_dist=True, batch_size=len(images)
        )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Encoder and the rest with rates of their own, set anew at every step."""
        encoder = list(self.network.encoder.parameters())
        known = {id(parameter) for parameter in encoder}
        rest = [parameter for parameter in self.network.parameters() if id(parameter) not in known]
        groups = [{"params": encoder, "name": "encoder"}, {"params": rest, "name": "decoder"}]
        decay = self.recipe.weight_decay
        optimizer: torch.optim.Optimizer
        if self.recipe.optimizer == "adamw":
            optimizer = torch.optim.AdamW(groups, lr=1.0, weight_decay=decay)
        else:
            optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True, weight_decay=decay)
        rates: list[Callable[[int], float]] = [partial(_rate, self.recipe, part) for part in range(len(groups))]
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rates)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:  # noqa: ARG002
        """One step is one batch."""
        scheduler.step()


def rates_at(recipe: Recipe, step: int) -> tuple[float, float]:
    """Learning rates of encoder and decoder at a step of the run: a short warm-up in each phase, then the schedule."""
    for phase in recipe.phases:
        steps = recipe.epochs(phase) * recipe.steps_per_epoch(phase)
        if step < steps or phase is recipe.phases[-1]:
            break
        step -= steps
    done = min(1.0, step / steps)
    fall = {"cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done, "constant": 1.0}[recipe.schedule]
    rate = phase.lr_end + (phase.lr_start - phase.lr_end) * fall
    warm_up = min(recipe.warm_up_samples / phase.batch, steps)
    rate *= min(1.0, (step + 1) / warm_up) if warm_up else 1.0
    return rate * phase.encoder_lr_share, rate


def _rate(recipe: Recipe, part: int, step: int) -> float:
    return rates_at(recipe, step)[part]


def _floats(images: Tensor) -> Tensor:
    return images.float().contiguous(memory_format=torch.channels_last)


def _iou(alpha: Tensor, targets: Tensor) -> Tensor:
    ours, theirs = alpha >= THRESHOLD, targets >= THRESHOLD
    union = (ours | theirs).sum((1, 2, 3))
    return (ours & theirs).sum((1, 2, 3)) / union.clamp(min=1)
