"""The training loop: phases, rates, moving average, checkpoints."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timm.models.efficientnet import EfficientNetFeatures
from torch import Tensor, nn
from torch.utils.data import DataLoader

from training.dataset import VisitDataset, plan_visits
from training.losses import segmentation_loss
from training.recipe import Phase, Recipe
from training.store import Store
from vision.segmenters.network import SegmentationNetwork

Report = Callable[[str], None]
CHECKPOINT_FILE = "checkpoint.pt"
GRADIENT_CLIP = 2.0
WARM_UP_SAMPLES = 400


@dataclass
class Trainer:
    """A network in training. `average` is the moving average that gets exported; `seen` counts samples."""

    network: SegmentationNetwork
    average: SegmentationNetwork
    optimizer: torch.optim.Optimizer
    seen: int = 0

    def save(self, path: Path) -> None:
        """Write all state, then rename: a killed run leaves the last whole checkpoint."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "seen": self.seen,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Continue from `save`."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.seen = state["seen"]


def build_trainer(recipe: Recipe, network: SegmentationNetwork, average: SegmentationNetwork) -> Trainer:
    """Two parameter groups, encoder and the rest; the average starts as a copy."""
    average.load_state_dict(network.state_dict())
    encoder = list(network.unet.encoder.parameters())
    rest = [*network.unet.decoder.parameters(), *network.unet.segmentation_head.parameters()]
    groups = [{"params": encoder}, {"params": rest}]
    optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=recipe.weight_decay)
    return Trainer(network, average.eval(), optimizer)


def run_phases(recipe: Recipe, trainer: Trainer, stores: Sequence[Store], run_dir: Path, report: Report) -> list[float]:
    """Train from `trainer.seen` to the end of the last phase; returns the loss of every step.

    `run_dir` receives `checkpoint.pt` at intervals and `after-<phase>.pt`.
    """
    checkpoint = run_dir / CHECKPOINT_FILE
    groups = [group for store in stores for group in store.groups]
    losses: list[float] = []
    start = 0
    for number, phase in enumerate(recipe.phases):
        done = trainer.seen - start
        if done < phase.samples:
            visits = plan_visits(groups, phase.shares, phase.samples, [recipe.seed, number])
            hw = (phase.canvas_px, phase.canvas_px)
            data = VisitDataset(stores, visits[done:], trainer.seen, recipe.seed, hw)
            losses += _run_phase(recipe, trainer, phase, data, start, checkpoint, report)
            trainer.save(run_dir / f"after-{phase.name}.pt")
        start += phase.samples
    trainer.save(checkpoint)
    return losses


def rate_at(phase: Phase, seen_in_phase: int) -> float:
    """Learning rate of the decoder: a short warm-up, then half a cosine from `lr_start` to `lr_end`."""
    progress = min(1.0, seen_in_phase / phase.samples)
    cosine = phase.lr_end + (phase.lr_start - phase.lr_end) * (1 + math.cos(math.pi * progress)) / 2
    return cosine * min(1.0, (seen_in_phase + phase.batch) / min(WARM_UP_SAMPLES, phase.samples))


def _run_phase(
    recipe: Recipe,
    trainer: Trainer,
    phase: Phase,
    data: VisitDataset,
    start: int,
    checkpoint: Path,
    report: Report,
) -> list[float]:
    network = trainer.network
    network.train()
    # The encoder keeps the statistics of ImageNet: batches this small would spoil them.
    network.unet.encoder.eval()
    freeze_stages(network.unet.encoder.model, phase.frozen_stages)
    losses: list[float] = []
    began, last_report = time.monotonic(), trainer.seen
    for images, targets in _batches(data, phase.batch):
        lr = rate_at(phase, trainer.seen - start)
        trainer.optimizer.param_groups[0]["lr"] = lr * phase.encoder_lr_share
        trainer.optimizer.param_groups[1]["lr"] = lr
        decay = average_decay(recipe.ema_decay, trainer.seen // phase.batch)
        losses.append(_step(trainer, images, targets, decay))
        before, trainer.seen = trainer.seen, trainer.seen + len(images)
        if trainer.seen - last_report >= recipe.checkpoint_every // 8:
            speed = (trainer.seen - last_report) / (time.monotonic() - began)
            recent = losses[-max(1, (trainer.seen - last_report) // phase.batch) :]
            mean = sum(recent) / len(recent)
            report(f"{phase.name} {trainer.seen}/{recipe.total_samples} loss {mean:.4f} {speed:.1f}/s lr {lr:.2e}")
            began, last_report = time.monotonic(), trainer.seen
        if before // recipe.checkpoint_every != trainer.seen // recipe.checkpoint_every:
            trainer.save(checkpoint)
    return losses


def _batches(data: VisitDataset, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    loader = DataLoader(data, batch_size=batch, num_workers=1, prefetch_factor=4, drop_last=False)
    for images, targets in loader:
        yield images.float().contiguous(memory_format=torch.channels_last), targets


def _step(trainer: Trainer, images: Tensor, targets: Tensor, ema_decay: float) -> float:
    loss = segmentation_loss(trainer.network(images), targets)
    trainer.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(trainer.network.parameters(), GRADIENT_CLIP)
    trainer.optimizer.step()
    update_average(trainer.average, trainer.network, ema_decay)
    return loss.item()


def freeze_stages(encoder: EfficientNetFeatures, count: int) -> None:
    """Leave the stem and the first `count` stages of a timm EfficientNet as they are, and train the others."""
    encoder.requires_grad_(True)
    if count:
        for part in (encoder.conv_stem, encoder.bn1, *encoder.blocks[:count]):
            part.requires_grad_(False)


def average_decay(final: float, steps: int) -> float:
    """Shorter memory at first, so that the random start is soon forgotten."""
    return min(final, (1 + steps) / (10 + steps))


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move every parameter and statistic of `average` by 1 - decay towards `network`; counters are copied."""
    ours, theirs = average.state_dict(), network.state_dict()
    floating = [key for key, value in ours.items() if value.is_floating_point()]
    torch._foreach_lerp_([ours[key] for key in floating], [theirs[key] for key in floating], 1 - decay)
    for key in ours.keys() - set(floating):
        ours[key].copy_(theirs[key])
