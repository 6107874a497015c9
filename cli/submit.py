"""`packshot submit`: files and folders through a running service, and their cutouts back."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from cli.caller import is_this_machine, service_key, service_url
from cli.output import console, errors, fail
from cli.plan import Item, Result, plan
from cli.submissions import InUseError, Journal, terms_of
from cli.submitting import Submitter, Work
from cli.summary import progress_bar, summarise
from config.settings import Settings
from jobs.errors import JobError
from jobs.params import parse_params
from packshot_client import AsyncClient, Client, PackshotError, Retries
from vision.formats import ending_of

_INTERRUPTED = 130
# A service that asks to come back in a minute is a busy one, not one that refuses.
_RETRIES = Retries(attempts=10, max_pause_s=120)


def submit(
    paths: Annotated[list[Path], typer.Argument(help="Photos, and folders of photos (searched with their folders).")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the cutouts, as OUT/<stem>.<format>.")],
    output_format: Annotated[str, typer.Option("--format", help="png, png8, webp, jpg, avif, tiff or zip.")] = "png",
    background: Annotated[
        str | None, typer.Option(help="transparent, white or #RRGGBB; white for jpg, else transparent.")
    ] = None,
    quality: Annotated[int | None, typer.Option(help="50 to 100, for jpg, webp, avif and zip.")] = None,
    max_bytes: Annotated[
        int | None, typer.Option(help="No file is larger: the highest quality that fits is taken.")
    ] = None,
    lossless: Annotated[bool, typer.Option("--lossless", help="A webp that keeps every pixel.")] = False,
    model: Annotated[str | None, typer.Option(help="A model of the service; its default otherwise.")] = None,
    existing_alpha: Annotated[
        str, typer.Option(help="A photo's own transparency: auto (it is the matte), ignore or multiply.")
    ] = "auto",
    animated: Annotated[
        str, typer.Option(help="Photos of several frames or pages: refuse, or first_frame to take the first.")
    ] = "refuse",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the cutouts and download them.")] = False,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Photos on their way at the same time.")] = 16,
    timeout: Annotated[float, typer.Option(min=1, help="Longest wait for one photo, in seconds.")] = 3600,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done; send nothing.")] = False,
    force: Annotated[bool, typer.Option(help="Submit again what is done or on its way.")] = False,
    url: Annotated[str | None, typer.Option(help="The service: PACKSHOT_URL, or the one on this machine.")] = None,
    key: Annotated[
        str | None, typer.Option(help="API key: PACKSHOT_KEY, or that of `packshot up` in the data folder.")
    ] = None,
) -> None:
    """Send photos to a running service and, with --wait, fetch their cutouts.

    Run it again to go on: what is done is skipped, what is on its way is waited for and not sent twice. One bad photo
    does not stop the rest; the exit code is 1 if any failed. OUT keeps the record, in `.packshot-submit.jsonl`.
    """
    settings = Settings(log_level="error", log_format="console")
    address = service_url(url, settings)
    given = {
        "format": output_format,
        "background": background,
        "quality": quality,
        "max_bytes": max_bytes,
        "lossless": lossless or None,
        "model": model,
        "existing_alpha": existing_alpha,
        "animated": animated,
    }
    options = {name: value for name, value in given.items() if value is not None}
    try:
        token = "" if dry_run else service_key(key, settings)
        names, default = ([model or "", ""], "") if dry_run else _models(address, token)
        params = parse_params(given, models=names, default_model=default)
    except JobError as error:
        raise fail(escape(error.detail), code=2) from None
    except (PackshotError, ValueError) as error:
        raise fail(escape(f"{address}: {error}")) from None
    items = plan(paths, out, ending_of(params.outputs[0].format))
    work = Work(options, terms_of(address, options), out, does_wait=wait, timeout_s=timeout, force=force)
    journal = Journal(out)
    results = [Result(item, problem=item.problem) for item in items if item.problem is not None]
    sound = [item for item in items if item.problem is None]
    todo = [item for item in sound if not work.is_done(item, journal.find(work.name(item)))]
    if dry_run:
        _show_plan(todo, results, work, journal, skipped=len(sound) - len(todo))
    else:
        try:
            asyncio.run(_send(todo, address, token, journal, work, results, at_once))
        except (InUseError, PackshotError) as error:
            raise fail(escape(f"{error} What is done is done; the same command goes on from here.")) from None
        except KeyboardInterrupt:
            errors.print("Stopped. What is submitted goes on by itself; the same command goes on from here.")
            raise typer.Exit(_INTERRUPTED) from None
        summarise(results, skipped=len(sound) - len(todo))
    if any(result.problem for result in results):
        raise typer.Exit(1)


def _models(url: str, key: str) -> tuple[list[str], str]:
    """Names and ids of the service's models, and its default; finds out whether it answers, and to this key."""
    with Client(url, key, trust_env=not is_this_machine(url)) as client:
        found = client.models()
    default = next((model.name for model in found if model.is_default), "")
    return [name for model in found for name in (model.name, model.id)], default


async def _send(
    items: list[Item], url: str, key: str, journal: Journal, work: Work, results: list[Result], at_once: int
) -> None:
    """Work through `items` behind a progress bar; adds to `results`."""
    if not items:
        return
    client = AsyncClient(url, key, retries=_RETRIES, trust_env=not is_this_machine(url))
    with journal, progress_bar() as progress:
        bar = progress.add_task("cutting out" if work.does_wait else "submitting", total=len(items))

        def report(result: Result) -> None:
            results.append(result)
            progress.advance(bar)

        async with client:
            await Submitter(client, journal, work, report).run(items, at_once=at_once)


def _show_plan(todo: list[Item], refused: list[Result], work: Work, journal: Journal, *, skipped: int) -> None:
    table = Table("photo", "cutout", "what")
    for item in todo:
        is_known = work.is_on_its_way(journal.find(work.name(item)))
        table.add_row(escape(str(item.photo)), escape(str(item.output)), "go on" if is_known else "submit")
    for result in refused:
        table.add_row(escape(str(result.item.photo)), "", f"[red]{escape(result.problem or '')}[/red]")
    if table.row_count:
        console.print(table)
    console.print(f"{len(todo)} to do, {skipped} done before. Nothing was sent.")
