"""Samples a second that a training step takes in on a CPU, by precision and by how batch norm is computed.

    python -m benchmarks.training_speed [training/configs/unet-from-nothing.toml]

Every phase of the recipe, in single precision and in bfloat16, with the encoder's batch norm as modules of their own
and folded into its convolutions (`training.folding`). `decoder on kept features`: what a frozen encoder's features
would cost if they lay ready. Variants take turns, the median step of each counts; samples are noise, and nothing is
loaded meanwhile.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.folding import fold_frozen_norms
from training.freezing import LEVELS, set_modes
from training.losses import segmentation_losses
from training.recipe import Phase, Recipe
from training.task import SegmentationTask

_ROUNDS = 5
Step = Callable[[], None]


def task_for(recipe: Recipe, phase: Phase, *, folded: bool) -> SegmentationTask:
    task = SegmentationTask(replace(recipe, phases=(phase,)))
    if folded:
        fold_frozen_norms(task.network.encoder.eval())
    task.enter(phase)
    set_modes(task.network, recipe.batchnorm)
    return task


def learn(task: SegmentationTask, phase: Phase, *, half: bool, kept_features: bool = False) -> Step:
    """One optimizer step on a batch of noise."""
    side, unet = phase.canvas_px, task.network.unet
    images = torch.rand(phase.batch, 3, side, side).contiguous(memory_format=torch.channels_last)
    targets = (torch.rand(phase.batch, 1, side, side) > 0.5).float()  # noqa: PLR2004 - black or white
    optimizer = torch.optim.AdamW([each for each in task.parameters() if each.requires_grad], 1e-5)
    encoder: Any = unet.encoder
    decoder: Any = unet.decoder
    head: Any = unet.segmentation_head
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        features: list[Tensor] = encoder(images)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = head(decoder(features if kept_features else encoder(images)))
        loss = segmentation_losses([logits], targets, task.recipe.loss)["loss"].mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def variants(recipe: Recipe, phase: Phase) -> dict[str, Step]:
    steps = {}
    for half, precision in ((False, "float32"), (True, "bfloat16")):
        for folded, norms in ((False, "own norms"), (True, "folded norms")):
            steps[f"{precision}, {norms}"] = learn(task_for(recipe, phase, folded=folded), phase, half=half)
    if phase.frozen_levels == LEVELS:
        task = task_for(recipe, phase, folded=True)
        steps["bfloat16, decoder on kept features"] = learn(task, phase, half=True, kept_features=True)
    return steps


def median_seconds(steps: dict[str, Step]) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(_ROUNDS + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if number:  # the first round warms up
                taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", type=Path, default=Path("training/configs/unet-from-nothing.toml"))
    recipe = Recipe.read(parser.parse_args().recipe)
    torch.set_num_threads(recipe.threads or torch.get_num_threads())
    print("| phase | canvas | frozen levels | variant | samples/s | times the first |")
    print("| --- | --- | --- | --- | --- | --- |")
    for phase in recipe.phases:
        taken = median_seconds(variants(recipe, phase))
        first = next(iter(taken.values()))
        for name, seconds in taken.items():
            figures = f"{phase.batch / seconds:.1f} | {first / seconds:.2f}"
            print(f"| {phase.name} | {phase.canvas_px} px | {phase.frozen_levels} | {name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
