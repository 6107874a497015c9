"""`packshot evaluate` and `packshot calibrate`: how good a model is, and what its doubt is worth."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.model_source import find_model
from cli.output import console, fail
from config.settings import Settings

if TYPE_CHECKING:
    from training.evaluation.candidates import Candidate, Found
    from vision.calibration import Calibration

Data = Annotated[Path, typer.Option("--data", exists=True, file_okay=False, help="Folder with manifest.csv.")]
Model = Annotated[
    str | None,
    typer.Argument(
        help="A model of `packshot models list`, or the sidecar (*.json) of a run's weights; the default one without."
    ),
]
Threads = Annotated[int, typer.Option(min=1, help="Threads of one forward, ours and the peers'.")]
Card = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A model card to write the figures into.")]


def evaluate(
    data: Data,
    model: Model = None,
    out: Annotated[Path, typer.Option(help="Folder of report.html and report.json.")] = Path("out/evaluation"),
    split: Annotated[str, typer.Option(help="A part of the data.")] = "dev",
    peer: Annotated[
        list[str] | None, typer.Option(help="u2net=FILE, isnet=FILE (ONNX, run as rembg does) or a manifest (*.toml).")
    ] = None,
    against: Annotated[list[str] | None, typer.Option(help="Another model, named as MODEL is.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder that keeps the peers' mattes between runs.")] = None,
    gate: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="An earlier report.json: exit 1 if a slice drops.")
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="How far a slice may drop.")] = 0.005,
    card: Card = None,
    threads: Threads = 2,
    alphas: Annotated[Path | None, typer.Option(help="Also write every delivered alpha there, as 8 bit PNG.")] = None,
) -> None:
    """Measure a model, alone and as the whole product, on photos with known alpha, beside peers."""
    import cv2

    from training.evaluation import gate as gates
    from training.evaluation import report, run, summary, tables
    from training.evaluation.candidates import CandidateError, OwnModel
    from training.evaluation.card import CardError
    from training.evaluation.peers import OnnxPeer, parse_peer
    from training.manifest import ManifestError, check_rows, read_manifest, select
    from vision.segmenters.checksum import WeightsError

    cv2.setNumThreads(1)
    settings = Settings()
    try:
        # Before anything is written: the default place of the new report may be the gate file's own.
        baseline = None if gate is None else gates.read(gate)
        found = find_model(model or settings.model, settings)
        manifests = [parse_peer(text) for text in peer or ()]
        others = [find_model(name, settings) for name in against or ()]
        rows = select(read_manifest(data), split)
        check_rows(rows)
        own = [found.load(runtime=settings.runtime, threads=threads)]
        own += [other.load(runtime=settings.runtime, threads=threads) for other in others]
        candidates: list[Candidate] = [
            OwnModel(own[0]),
            *(OwnModel(each, prefix=f"{each.version} ") for each in own[1:]),
            *(OnnxPeer(manifest, threads=threads) for manifest in manifests),
        ]
        done = run.evaluate(
            candidates, rows, threads=threads, split=split, cache_dir=cache, alphas_dir=alphas, report=_say
        )
    except (CandidateError, ManifestError, WeightsError, gates.GateError) as error:
        raise fail(str(error), code=2) from None
    figures = summary.summarise(done)
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "report.html").write_text(report.render(done, figures), encoding="utf-8")
    _say(tables.by_source(figures))
    _say(tables.times(figures))
    for name, ratio in figures["forward_ratios"].items():
        _say(f"A forward of {done.model_id} takes 1/{ratio:.1f} of {name}'s.")
    _say(f"{out / 'report.html'} shows the worst cases; {out / 'report.json'} has every figure.")
    if card is not None:
        try:
            _write_figures(card, found, figures)
        except CardError as error:
            raise fail(str(error)) from None
    if baseline is not None:
        try:
            fallen = gates.falls(baseline, figures, tolerance=tolerance)
        except gates.GateError as error:
            raise fail(str(error), code=2) from None
        if fallen:
            raise fail(f"{len(fallen)} figures fell behind {gate}:\n" + "\n".join(fallen))
        _say(f"No slice fell behind {gate}.")


def calibrate(
    data: Data,
    model: Model = None,
    out: Annotated[Path, typer.Option(help="Folder of calibration.json.")] = Path("out/evaluation"),
    split: Annotated[str, typer.Option(help="A part of the data.")] = "dev",
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="Leave out a source whose masks are no independent truth; repeatable."),
    ] = None,
    card: Card = None,
    threads: Threads = 2,
) -> None:
    """Measure what a model's confidence is worth and write its limits of pass, review and fail into its sidecar.

    A version that jobs can name never changes: its limits and weights go to OUT as a version of their own, to be added.
    Photos without a product are the backgrounds that training holds out.
    """
    import cv2

    from training.evaluation.calibration import CalibrationError, collect, leave_out
    from training.evaluation.calibration import calibrate as calibrate_on
    from training.evaluation.candidates import CandidateError, OwnModel
    from training.evaluation.card import CardError, fill, verdict
    from training.manifest import ManifestError, check_rows, read_manifest, select
    from training.prepare import split_backgrounds
    from vision.segmenters.checksum import WeightsError

    cv2.setNumThreads(1)
    settings = Settings()
    try:
        found = find_model(model or settings.model, settings)
        rows = read_manifest(data)
        photos = leave_out(select(rows, split), without or ())
        wanted = [*photos, *split_backgrounds(select(rows, "backgrounds"))[1]]
        check_rows(wanted)
        own = OwnModel(found.load(runtime=settings.runtime, threads=threads))
        made, reliability = calibrate_on(collect(own, wanted, _say))
    except (CandidateError, ManifestError, WeightsError, CalibrationError) as error:
        raise fail(str(error), code=2) from None
    carrier = _write_limits(found, made, out)
    left_out = sorted(set(without or ()))
    record = {
        "model": carrier.spec.model_id,
        "split": split,
        "without": left_out,
        "calibration": made.to_json(),
        "reliability": reliability.to_json(),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "calibration.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    text = verdict(carrier.spec.model_id, made, reliability, without=left_out)
    _say(text)
    _say(f"Wrote the limits into {carrier.sidecar}.")
    if card is not None:
        try:
            fill(card, "verdict", text)
        except CardError as error:
            raise fail(str(error)) from None
        _say(f"Wrote them into {card}.")


def _write_limits(found: "Found", limits: "Calibration", out: Path) -> "Found":
    """Into the sidecar of a run's export, or for a released version into one of a new version, its weights beside it.

    Returns the model that carries the limits.
    """
    import shutil

    from training.evaluation.candidates import Found
    from vision.segmenters.spec import write_calibration

    if not found.is_released:
        return Found(write_calibration(found.spec, limits, found.folder), found.folder)
    spec, folder = replace(found.spec, version=f"{found.spec.version}-limits"), out / "model"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found.folder / found.spec.weights_name, folder / spec.weights_name)
    made = Found(write_calibration(spec, limits, folder), folder)
    _say(f"`packshot models add {made.sidecar}` adds it as {spec.model_id}.")
    return made


def _write_figures(card: Path, found: "Found", figures: dict[str, Any]) -> None:
    from training.evaluation.card import figures as figures_of
    from training.evaluation.card import fill, identity

    fill(card, "identity", identity(found))
    fill(card, "figures", figures_of(figures))
    _say(f"Wrote the figures into {card}.")


def _say(text: str) -> None:
    console.print(text, markup=False)
