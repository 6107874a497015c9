"""`packshot demo`: real photos through the whole service, and a sheet to look at."""

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image, ImageOps
from rich.box import SIMPLE
from rich.table import Table

from cli.output import console, errors, fail
from cli.ports import free_port
from cli.processes import complete
from cli.samples import NoPhotosError, photos_in, sample_photos
from cli.sheet import SheetRow, before_after, contact_sheet
from cli.stack import StackError
from cli.timing import STAGES, Done, timed_submit
from cli.up import interruptible, run_stack
from config.settings import Settings
from packshot_client import Client, Job, PackshotError

_WAIT_S = 300.0
_SHOWN_STAGES = ("queue", "decode", "forward", "refine", "encode")
_SHEET_NAME = "contact-sheet.jpg"


def demo(
    photos: Annotated[Path | None, typer.Argument(help="A folder of your own photos.", file_okay=False)] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Where cutouts and sheet go.")] = Path("out/demo"),
    picture: Annotated[Path | None, typer.Option(hidden=True, help="Also write the README's picture here.")] = None,
) -> None:
    """Start the service, cut out real photos through its API, write cutouts and a contact sheet, stop.

    Has a data folder and a port of its own, so that it can run beside `packshot up`.
    """
    base = Settings()
    settings = complete(base, data_dir=base.data_dir / "demo", port=free_port())
    try:
        files = sample_photos() if photos is None else photos_in(photos)
        start = time.perf_counter()
        with interruptible(), run_stack(settings) as (stack, key):
            console.print(f"The service was ready after {time.perf_counter() - start:.1f} s.")
            if key is None:
                raise fail("The database of PACKSHOT_DATABASE_URL has keys already; unset it for the demo.")
            with (
                Client(stack.url, key.token, trust_env=False) as client,
                console.status(f"Cutting out {len(files)} photos"),
            ):
                begin = time.perf_counter()
                jobs, refused = _submit(client, files)
                done = {
                    name: Done(client.jobs.wait(job, timeout_s=_WAIT_S), upload_s)
                    for name, (job, upload_s) in jobs.items()
                }
                took_s = time.perf_counter() - begin
                rows = {name: _row(client, name, files[name], each, out) for name, each in done.items()}
    except (StackError, NoPhotosError, PackshotError) as error:
        raise fail(str(error)) from None
    except KeyboardInterrupt:
        raise fail("Stopped.", code=130) from None
    out.mkdir(parents=True, exist_ok=True)
    sheet = out / _SHEET_NAME
    contact_sheet([row for row in rows.values() if row is not None]).save(sheet, quality=92)
    if picture is not None and (first := next(iter(rows.values()))) is not None:
        before_after(first.before, first.cutout).save(picture, quality=92)
    console.print(_table(done))
    console.print(f"{len(files)} photos in {took_s:.1f} s. Cutouts in {out}, all of them on {sheet}.", markup=False)
    for name, problem in refused.items():
        errors.print(f"{name}: {problem}", markup=False)
    if refused or None in rows.values():
        raise typer.Exit(1)


def _submit(client: Client, files: dict[str, Path]) -> tuple[dict[str, tuple[Job, float]], dict[str, str]]:
    """Jobs of the photos that were taken, and what the service said of the others."""
    jobs, refused = {}, {}
    for name, path in files.items():
        try:
            jobs[name] = timed_submit(client, path.read_bytes(), path.name)
        except PackshotError as error:
            refused[name] = str(error)
    return jobs, refused


def _row(client: Client, name: str, file: Path, done: Done, out: Path) -> SheetRow | None:
    """Store the cutout; its row of the sheet, or None where the job failed."""
    if done.job.status != "succeeded":
        return None
    png = client.jobs.read_output(done.job)
    client.jobs.delete(done.job)
    out.mkdir(parents=True, exist_ok=True)
    # The whole name: mug.jpg and mug.webp are two photos.
    (out / f"{name}.png").write_bytes(png)
    with Image.open(file) as photo:
        before = ImageOps.exif_transpose(photo).convert("RGB")
    with Image.open(io.BytesIO(png)) as image:
        cutout = image.convert("RGBA")
    source = done.job.input
    size = f"{file.name}, {source.width} x {source.height}"
    return SheetRow(before, cutout, (f"{size}: {_verdict(done.job)}", _stages(done.job.metrics)))


def _verdict(job: Job) -> str:
    if job.status != "succeeded":
        return f"{job.status}: {job.error.code if job.error else ''}"
    return ", ".join([job.verdict or "", *job.reasons])


def _stages(metrics: Mapping[str, Any]) -> str:
    return ", ".join(f"{stage} {metrics[name]} ms" for stage, name in STAGES.items() if name in metrics)


def _table(done: dict[str, Done]) -> Table:
    table = Table(box=SIMPLE, caption="stages in milliseconds")
    for column in ("photo", "verdict"):
        table.add_column(column, no_wrap=True)
    for column in (*_SHOWN_STAGES, "in all"):
        table.add_column(column, justify="right")
    for name, each in done.items():
        times = [str(each.job.metrics.get(STAGES[stage], "")) for stage in _SHOWN_STAGES]
        table.add_row(name, _verdict(each.job), *times, f"{each.latency_s:.2f} s")
    return table
