"""One run of a few steps in a process of its own, or in several: writes the first step's gradient."""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from lightning.pytorch.callbacks import Callback

from training.recipe import Recipe
from training.run import Machines, train


class FirstGradient(Callback):
    def __init__(self, path):
        self._path = path

    def on_before_optimizer_step(self, trainer, pl_module, _):
        if trainer.global_step == 0 and trainer.is_global_zero:
            named = pl_module.named_parameters()
            torch.save({name: each.grad.clone() for name, each in named if each.grad is not None}, self._path)


def main(devices, data, out):
    recipe = Recipe.read(Path(__file__).with_name("tiny.toml"))
    phase = replace(recipe.phases[1], augment=False, samples=4, shares={"drawn": 0.6, "composite": 0.4})
    recipe = replace(recipe, phases=(phase,), batchnorm="frozen", gradient_clip=0.0, epoch_samples=4)
    train(
        recipe,
        data_dir=data,
        run_dir=out / f"run-{devices}",
        cache_dir=out / f"cache-{devices}",
        machines=Machines(devices, accelerator="cpu"),
        watchers=[FirstGradient(out / f"gradient-{devices}.pt")],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
