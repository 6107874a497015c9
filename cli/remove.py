"""`packshot remove`: photos to cutouts on this machine, no service needed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.model_source import open_models
from cli.output import errors, fail
from cli.plan import Item, Result, plan
from cli.processes import complete
from cli.summary import progress_bar, summarise
from config.logging import configure_logging
from config.settings import Settings
from jobs.errors import JobError
from jobs.models import installed_models
from jobs.params import JobParams, parse_params
from vision.formats import ending_of

if TYPE_CHECKING:
    from worker.registry import PackagedModels

_INTERRUPTED = 130


def remove(
    paths: Annotated[list[Path], typer.Argument(help="Photos, and folders of photos (searched with their folders).")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the cutouts, as OUT/<stem>.<format>.")],
    output_format: Annotated[str, typer.Option("--format", help="png, png8, webp, jpg, avif, tiff or zip.")] = "png",
    background: Annotated[
        str | None, typer.Option(help="transparent, a CSS name, #RRGGBB or #RRGGBBAA; white for jpg, else transparent.")
    ] = None,
    quality: Annotated[int | None, typer.Option(help="50 to 100, for jpg, webp, avif and zip.")] = None,
    max_bytes: Annotated[
        int | None, typer.Option(help="No file is larger: the highest quality that fits is taken.")
    ] = None,
    lossless: Annotated[bool, typer.Option("--lossless", help="A webp that keeps every pixel.")] = False,
    model: Annotated[str | None, typer.Option(help="A model that `packshot models list` shows.")] = None,
    existing_alpha: Annotated[
        str, typer.Option(help="A photo's own transparency: auto (it is the matte), ignore or multiply.")
    ] = "auto",
    animated: Annotated[
        str, typer.Option(help="Photos of several frames or pages: refuse, or first_frame to take the first.")
    ] = "refuse",
    force: Annotated[bool, typer.Option(help="Do again what is done already, for other options.")] = False,
) -> None:
    """Cut products out of photos.

    A photo whose cutout is there and not older is left as it is. One bad photo does not stop the rest; the exit code
    is 1 if any failed. Nothing found in a photo is no failure: its verdict says so.
    """
    settings = Settings(log_level="error", log_format="console")
    if "data_dir" not in settings.model_fields_set and not settings.data_dir.exists():
        # Only converted models are kept there: no reason to leave a folder wherever somebody stands.
        settings = complete(settings, data_dir=_cache_dir())
    configure_logging(settings)
    options = {
        "format": output_format,
        "background": background,
        "quality": quality,
        "max_bytes": max_bytes,
        "lossless": lossless or None,
        "model": model,
        "existing_alpha": existing_alpha,
        "animated": animated,
    }
    with _models(settings, model) as source:
        _remove(paths, out, options, settings, source, force=force)


def _remove(
    paths: list[Path],
    out: Path,
    options: dict[str, Any],
    settings: Settings,
    source: "PackagedModels | None",
    *,
    force: bool,
) -> None:
    models = installed_models() if source is None else source.models()
    try:
        params = parse_params(options, models=models.names, default_model=settings.model)
    except JobError as error:
        raise fail(error.detail, code=2) from None
    items = plan(paths, out, ending_of(params.outputs[0].format))
    results = [Result(item, problem=item.problem) for item in items if item.problem is not None]
    sound = [item for item in items if item.problem is None]
    todo = [item for item in sound if force or not item.is_done]
    skipped = len(sound) - len(todo)
    if todo:
        try:
            _cut(todo, complete(settings, model=params.model), params, results, source)
        except KeyboardInterrupt:
            errors.print("Stopped. What is written is whole; the same command goes on from here.")
            raise typer.Exit(_INTERRUPTED) from None
    summarise(results, skipped=skipped)
    if any(result.problem for result in results):
        raise typer.Exit(1)


def _cut(
    items: list[Item],
    settings: Settings,
    params: JobParams,
    results: list[Result],
    source: "PackagedModels | None",
) -> None:
    """Work through `items` behind a progress bar; adds to `results`."""
    import cv2

    from cli.cutting import Cutter, limits_of
    from worker.decoders import DecoderPool
    from worker.gpu import load_models

    # Photos are refined and encoded side by side: OpenCV's own threads would only get in each other's way.
    cv2.setNumThreads(1)
    decoders = DecoderPool(
        limits_of(settings),
        children=settings.decode_processes or None,
        timeout_s=settings.decode_timeout_s,
        memory_bytes=settings.decode_memory_bytes,
    )
    with progress_bar() as progress, decoders as pool:
        bar = progress.add_task("loading the model", total=len(items))
        segmenter = load_models(settings, source).default
        progress.update(bar, description="cutting out")

        def report(result: Result) -> None:
            results.append(result)
            progress.advance(bar)

        Cutter(settings, segmenter, pool, params).run(items, report)


@contextmanager
def _models(settings: Settings, asked: str | None) -> Iterator["PackagedModels | None"]:
    """Those of the registry when a model is named and there is a database; None is the package alone."""
    if asked is None:
        yield None
        return
    with open_models(settings) as source:
        yield source


def _cache_dir() -> Path:
    """By the XDG base directory specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "packshot"
