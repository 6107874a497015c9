"""`packshot models`, `train` and `evaluate`: what is installed, how it is made, how good it is."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.output import console, fail
from config.settings import Settings
from jobs.models import installed_models
from vision.segmenters.spec import WEIGHTS_FOLDER

app = typer.Typer(help="List and check the installed models.", no_args_is_help=True)

_DATA = Annotated[Path, typer.Option("--data", exists=True, file_okay=False, help="Folder with manifest.csv.")]


@app.command("list")
def list_() -> None:
    """Show the installed models."""
    installed, default = installed_models(), Settings().model
    table = Table("model", "default", "canvas", "encoder", "weights")
    for spec in installed.specs:
        size_bytes = (WEIGHTS_FOLDER / f"{spec.file_stem}.safetensors").stat().st_size
        is_default = "yes" if installed.is_default(spec, default) else ""
        canvas = f"{spec.canvas_hw[0]} x {spec.canvas_hw[1]}"
        table.add_row(spec.model_id, is_default, canvas, spec.encoder, f"{size_bytes / 1e6:.1f} MB")
    console.print(table)


@app.command()
def verify() -> None:
    """Load every installed model: its weights must be those that its sidecar names, tensor by tensor."""
    from vision.segmenters.network import WeightsError, load_network

    bad = 0
    for spec in installed_models().specs:
        try:
            load_network(spec)
        except (WeightsError, OSError) as error:
            bad += 1
            console.print(f"{spec.model_id}: {error}", markup=False)
        else:
            console.print(f"{spec.model_id}: ok, sha256 {spec.weights_sha256}", markup=False)
    if bad:
        raise typer.Exit(1)


def train(
    config: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A run as TOML, see training/configs.")],
    data: _DATA,
    run: Annotated[Path, typer.Option(help="Folder of checkpoints, log and weights; an unfinished run goes on.")],
    cache: Annotated[
        Path | None, typer.Option(help="Folder of decoded samples; `cache` in the run by default.")
    ] = None,
) -> None:
    """Train a model, or go on with a run that was broken off."""
    from training.manifest import ManifestError
    from training.run import train as run_training

    try:
        spec = run_training(config, data_dir=data, run_dir=run, cache_dir=cache or run / "cache", report=_say)
    except ManifestError as error:
        raise fail(str(error)) from None
    console.print(f"{spec.model_id} is in {run / 'weights'}, sha256 {spec.weights_sha256}", markup=False)


def evaluate(
    data: _DATA,
    model: Annotated[str | None, typer.Argument(help="An installed model; the default one without a name.")] = None,
    split: Annotated[str, typer.Option(help="A part of the data.")] = "dev",
    alphas: Annotated[Path | None, typer.Option(help="Also write every alpha there, as 8 bit PNG.")] = None,
) -> None:
    """Measure a model on photos with known alpha; prints a Markdown table."""
    from training.evaluate import as_table
    from training.evaluate import evaluate as measure
    from training.manifest import ManifestError

    wanted = model or Settings().model
    specs = [spec for spec in installed_models().specs if wanted in {spec.name, spec.model_id}]
    if not specs:
        raise fail(f"There is no model {wanted!r}; see `packshot models list`.", code=2)
    try:
        figures = measure(specs[-1].file_stem, data, split=split, out_dir=alphas)
    except ManifestError as error:
        raise fail(str(error)) from None
    console.print(as_table(figures), markup=False)


def _say(text: str) -> None:
    console.print(text, markup=False)
