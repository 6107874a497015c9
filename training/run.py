"""One call from a data folder to a trained model."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from training.callbacks import LAST, Report, build_callbacks, has_stopped_early
from training.checkpoints import epochs_done, export_run, load_start
from training.cutouts import is_cutout
from training.data import RunData
from training.dataset import OTHER_PHOTOS
from training.folding import fold_frozen_norms
from training.manifest import LICENCE_CLASSES, ManifestError, Row, check_rows, read_manifest, select
from training.origin import Origin, check_inherited, resumed
from training.prepare import SCENE_GROUPS, training_rows, validation_rows
from training.pretrained import load_imagenet_encoder
from training.recipe import Recipe, RecipeError
from training.task import SegmentationTask
from vision.segmenters.spec import ModelSpec

EXPECTED_WARNINGS = (
    r"Checkpoint directory .* exists and is not empty",  # a run that goes on
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning 2.6 on torch 2.15
    r"The '\w+' does not have many workers",  # one worker keeps up with a CPU; the recipe says how many
)
"""What Lightning says of a run that is as it should be."""


@dataclass(frozen=True)
class Machines:
    """What a run is spread over: processes of one machine, and machines."""

    devices: int = 1
    nodes: int = 1
    accelerator: str = "auto"


def train(
    recipe: Recipe,
    *,
    data_dir: Path,
    run_dir: Path,
    cache_dir: Path,
    start_from: str | None = None,
    inherit_licences: bool = False,
    machines: Machines | None = None,
    report: Report = print,
    watchers: Sequence[Callback] = (),
) -> ModelSpec | None:
    """Train, or resume, a recipe's run; weights and sidecar end in `run_dir/weights`.

    Of several processes the first one exports; the others return None.

    `data_dir` holds manifest.csv, `cache_dir` receives decoded samples. `start_from`: a checkpoint, a sidecar or an
    installed model whose weights a new run starts from; `inherit_licences`: also where that one learnt from licence
    classes that the recipe leaves out. ManifestError or RecipeError before any computing, also for a folder that
    holds another run.
    """
    machines = machines or Machines()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    rows = checked_rows(recipe, data_dir)
    check_machines(recipe, machines)
    origin = Origin.of(recipe, rows, start_from)
    is_new = not (run_dir / f"{LAST}.ckpt").is_file()
    if not is_new:
        origin = resumed(origin, run_dir)
    recipe = with_what_there_is(recipe, rows, report)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    cv2.setNumThreads(1)
    pl.seed_everything(recipe.seed, verbose=False)
    task = SegmentationTask(recipe)
    if is_new:
        inherited = fill(task, recipe, start_from, report, inherit_licences=inherit_licences)
        origin = replace(origin, learnt_from=tuple(sorted({*origin.learnt_from, *inherited})))
        origin.write(run_dir)
        report(f"licence classes that the model will have learnt from: {', '.join(origin.learnt_from)}")
    task.learns_from(origin.learnt_from)
    # In single precision it gains a tenth, and costs the last digit in which one process and several agree.
    may_fold = recipe.precision != "32-true" and recipe.batchnorm != "train"
    if may_fold and not fold_frozen_norms(task.network.encoder.eval()):
        report(f"no batch norm of {recipe.model.encoder} can be folded into a convolution: as good, but slower")
    data = RunData(recipe, rows, cache_dir)
    is_first = run_phases(recipe, task, data, run_dir, machines, report, watchers)
    return export_run(run_dir, recipe) if is_first else None


def read_recipe(path: Path, licences: str | None = None, seed: int | None = None) -> Recipe:
    """A recipe, restricted to licence classes such as `cc0,permissive`, with a seed of its own where one is given."""
    recipe = Recipe.read(path)
    if seed is not None:
        recipe = replace(recipe, seed=seed)
    if licences is None:
        return recipe
    wanted = {name.strip() for name in licences.split(",")}
    if unknown := wanted - set(LICENCE_CLASSES):
        raise RecipeError(f"unknown licence classes {sorted(unknown)}; known: {', '.join(LICENCE_CLASSES)}")
    kept = tuple(name for name in recipe.data.licences if name in wanted)
    return replace(recipe, data=replace(recipe.data, licences=kept))


def checked_rows(recipe: Recipe, data_dir: Path) -> list[Row]:
    """Rows of the manifest that the recipe's licences allow. ManifestError names every one that cannot be used."""
    rows = read_manifest(data_dir, recipe.data.licences)
    wanted = [*select(rows, "train"), *select(rows, "backgrounds")]
    if recipe.data.validation_photos and recipe.data.validation_split != "train":
        wanted += select(rows, recipe.data.validation_split)
    if not select(rows, "train"):
        raise ManifestError(f"no row of the split train has one of the licences {', '.join(recipe.data.licences)}")
    check_rows(wanted)
    if recipe.data.validation_photos and not validation_rows(recipe, rows):
        raise ManifestError(
            f"no photo of the split {recipe.data.validation_split} is there to choose weights by: "
            'set validation_split = "train", or validation_photos = 0'
        )
    return rows


def with_what_there_is(recipe: Recipe, rows: Sequence[Row], report: Report) -> Recipe:
    """The recipe without shares of groups that have no photo, said aloud. RecipeError when a phase has none at all."""
    sources = {row.source for row in training_rows(recipe, rows) if row.mask is not None and not is_cutout(row)}
    phases = []
    for phase in recipe.phases:
        groups = {*sources, *SCENE_GROUPS, *({OTHER_PHOTOS} if sources - set(phase.shares) else ())}
        shares = {name: share for name, share in phase.shares.items() if name in groups and share}
        if not shares:
            raise RecipeError(f"phase {phase.name}: there is no photo of {', '.join(phase.shares)}")
        if missing := [name for name, share in phase.shares.items() if share and name not in groups]:
            report(f"phase {phase.name}: no photos of {', '.join(missing)}; the others take their share")
        phases.append(replace(phase, shares=shares))
    return replace(recipe, phases=tuple(phases))


def miniature(recipe: Recipe) -> Recipe:
    """Every phase at its own canvas, but for two samples: shows that a recipe runs on this machine, and no more."""
    phases = tuple(replace(phase, samples=2, batch=2) for phase in recipe.phases)
    data = replace(recipe.data, validation_photos=min(2, recipe.data.validation_photos))
    return replace(recipe, phases=phases, data=data, epoch_samples=2, loader_workers=0, patience=0)


def check_machines(recipe: Recipe, machines: Machines) -> None:
    """RecipeError when a batch cannot be divided among the processes."""
    processes = machines.devices * machines.nodes
    for phase in recipe.phases:
        if phase.batch % processes:
            raise RecipeError(
                f"phase {phase.name}: a batch of {phase.batch} cannot be divided by {processes} processes"
            )


def fill(
    task: SegmentationTask, recipe: Recipe, start_from: str | None, report: Report, *, inherit_licences: bool = False
) -> tuple[str, ...]:
    """The weights that a new run starts from; returns the licence classes that come with them.

    RecipeError for classes that the recipe leaves out, unless `inherit_licences`.
    """
    if start_from is None:
        if recipe.encoder_weights == "imagenet":
            load_imagenet_encoder(recipe.model.encoder, task.network.backbone)
        return ()
    spec, said = load_start(task.network, start_from)
    if not inherit_licences:
        check_inherited(recipe, spec.model_id, spec.learnt_from)
    report(f"starts from {said}")
    return spec.learnt_from


def run_phases(
    recipe: Recipe,
    task: SegmentationTask,
    data: RunData,
    run_dir: Path,
    machines: Machines,
    report: Report,
    watchers: Sequence[Callback] = (),
) -> bool:
    """Each phase goes on from the checkpoint that the one before left, as a resumed run does.

    Returns whether this process is the first one.
    """
    last = run_dir / f"{LAST}.ckpt"
    first_epoch = 0
    is_first = True
    for number, phase in enumerate(recipe.phases):
        data.phase, data.first_epoch = number, first_epoch
        first_epoch += recipe.epochs(phase)
        is_last_phase = number == len(recipe.phases) - 1
        if epochs_done(last) >= first_epoch or (is_last_phase and has_stopped_early(last)):
            continue
        task.enter(phase)
        callbacks = build_callbacks(recipe, run_dir, report, is_last_phase=is_last_phase)
        trainer = pl.Trainer(
            accelerator=machines.accelerator,
            devices=machines.devices,
            num_nodes=machines.nodes,
            strategy="ddp" if machines.devices * machines.nodes > 1 else "auto",
            precision=recipe.precision,
            max_epochs=first_epoch,
            gradient_clip_val=recipe.gradient_clip or None,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            limit_val_batches=None if data.validation else 0,
            log_every_n_steps=1,
            callbacks=[*callbacks, *watchers],
            logger=TensorBoardLogger(run_dir, name="tensorboard", version=""),
            enable_progress_bar=any(isinstance(each, pl.callbacks.ProgressBar) for each in callbacks),
            enable_model_summary=False,
        )
        if trainer.is_global_zero:
            report(f"phase {phase.name}: {phase.canvas_px} px, epochs up to {first_epoch}")
        with warnings.catch_warnings():
            for message in EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            trainer.fit(task, datamodule=data, ckpt_path=last if last.is_file() else None)
        is_first = trainer.is_global_zero
    return is_first
