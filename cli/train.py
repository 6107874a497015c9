"""`packshot train`, `synth`, `label` and `export`: from photos to a model."""

from pathlib import Path
from typing import Annotated

import typer

from cli.model_source import training_source
from cli.output import console, fail
from config.settings import Settings

Config = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A recipe as TOML, see training/configs.")]
Data = Annotated[Path, typer.Option("--data", exists=True, file_okay=False, help="Folder with manifest.csv.")]
Cache = Annotated[Path, typer.Option(help="Folder of decoded samples; runs may share it.")]
Licence = Annotated[
    str | None, typer.Option(help="Only these licence classes of the manifest, such as `cc0,permissive`.")
]


def train(
    config: Config,
    data: Data,
    run: Annotated[Path, typer.Option(help="Folder of checkpoints, curves and weights; an unfinished run goes on.")],
    cache: Cache | None = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", help="Weights to start from: a checkpoint, a sidecar, or a model of `packshot models list`."
        ),
    ] = None,
    licence: Licence = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes, one per GPU where there are GPUs.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines; each runs this command, see docs/training.md.")] = 1,
    *,
    inherit_licences: Annotated[
        bool, typer.Option("--inherit-licences", help="Start from a model that learnt from other licence classes, too.")
    ] = False,
    prepare: Annotated[bool, typer.Option("--prepare", help="Fill the cache, and stop.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Two samples of every phase, then export.")] = False,
) -> None:
    """Train a model, or go on with a run that was broken off."""
    from training.checkpoints import StartError
    from training.evaluation.candidates import CandidateError
    from training.manifest import ManifestError
    from training.prepare import prepare as fill_stores
    from training.recipe import RecipeError
    from training.run import Machines, checked_rows, miniature, read_recipe
    from training.run import train as run_training
    from vision.segmenters.checksum import WeightsError

    try:
        recipe = read_recipe(config, licence)
        recipe = miniature(recipe) if dry_run else recipe
        cache_dir = cache or run / "cache"
        if prepare:
            fill_stores(recipe, checked_rows(recipe, data), cache_dir)
            return
        spec = run_training(
            recipe,
            data_dir=data,
            run_dir=run,
            cache_dir=cache_dir,
            start_from=None if start is None else training_source(start, Settings()),
            inherit_licences=inherit_licences,
            machines=Machines(devices, nodes),
            report=_say,
        )
    except (ManifestError, RecipeError, StartError, CandidateError, WeightsError) as error:
        raise fail(str(error)) from None
    if spec is not None:
        console.print(f"{spec.model_id} is in {run / 'weights'}, sha256 {spec.weights_sha256}", markup=False)


def synth(
    config: Config,
    data: Data,
    sheet: Annotated[Path, typer.Option(help="Picture to write: .jpg or .png.")],
    cache: Cache = Path("runs/cache"),
    licence: Licence = None,
    count: Annotated[int, typer.Option(min=1, max=400, help="Scenes to draw.")] = 40,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    side_px: Annotated[int, typer.Option(min=64, max=1024, help="Longest side of each scene on the sheet.")] = 240,
) -> None:
    """Draw the scenes that a recipe learns from, each beside its alpha, to look at them."""
    from training.manifest import ManifestError
    from training.recipe import RecipeError
    from training.run import checked_rows, read_recipe
    from training.sheet import contact_sheet, write_sheet

    try:
        recipe = read_recipe(config, licence, seed)
        page, speed = contact_sheet(recipe, checked_rows(recipe, data), cache, count, side_px)
    except (ManifestError, RecipeError) as error:
        raise fail(str(error)) from None
    write_sheet(page, sheet)
    console.print(f"{count} scenes in {sheet}, {speed:.1f} a second", markup=False)


def label(
    photos: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of photos.")],
    out: Annotated[Path, typer.Option(help="New data folder: images, masks and manifest.csv.")],
    model: Annotated[
        str, typer.Option(help="A model of `packshot models list`, a sidecar or a checkpoint.")
    ] = "unet-fast",
    licence_class: Annotated[str, typer.Option(help="Licence class of these photos, for the manifest.")] = "unknown",
) -> None:
    """Write pseudo-labels of a model, with its confidence, for a person to accept or for training."""
    from training.checkpoints import StartError
    from training.evaluation.candidates import CandidateError
    from training.label import label_folder
    from training.manifest import LICENCE_CLASSES
    from vision.segmenters.checksum import WeightsError

    if licence_class not in LICENCE_CLASSES:
        raise fail(f"Licence classes are {', '.join(LICENCE_CLASSES)}.", code=2)
    try:
        counts = label_folder(photos, out, training_source(model, Settings()), licence_class, _say)
    except (StartError, CandidateError, WeightsError) as error:
        raise fail(str(error)) from None
    console.print(
        f"{counts.labelled} photos labelled, {counts.refused} left out; see {out / 'manifest.csv'}", markup=False
    )


def export(
    checkpoint: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="best.ckpt or last.ckpt of a run.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for weights and sidecar.")],
    version: Annotated[str | None, typer.Option(help="Instead of the recipe's.")] = None,
) -> None:
    """Write a checkpoint's averaged weights as the service loads them."""
    from training.checkpoints import StartError, export_checkpoint

    try:
        spec = export_checkpoint(checkpoint, out, version=version)
    except StartError as error:
        raise fail(str(error)) from None
    console.print(f"{spec.model_id} is in {out}, sha256 {spec.weights_sha256}", markup=False)


def _say(text: str) -> None:
    console.print(text, markup=False)
