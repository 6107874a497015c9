"""`packshot evaluate` and `packshot calibrate` on drawn photos, with a tiny network and a peer of one node."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from cli.evaluation import _write_limits
from cli.main import app
from cli.model_source import find_model
from config.settings import Settings
from tests.images import draw
from tests.onnx_graphs import write_dark_graph
from training.evaluation import calibration, candidates
from training.evaluation import run as evaluation
from training.evaluation.calibration import Sample
from training.evaluation.candidates import CandidateError, read_sidecar
from training.evaluation.figures import FIGURES
from training.evaluation.peers import OnnxPeer, PeerManifest, parse_peer
from training.evaluation.tables import CARD_FIGURES, OTHER_FIGURES, by_source, others_by_source
from training.manifest import read_manifest
from vision.calibration import Calibration
from vision.segmenters.network import build_network, save_network
from vision.segmenters.spec import ModelSpec

SPEC = ModelSpec(
    name="tiny",
    version="3",
    architecture="smp-unet",
    encoder="tu-tf_efficientnet_lite0",
    decoder_channels=(16, 8, 8, 8, 8),
    canvas_hw=(64, 64),
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    weights_sha256="",
)
FIELDS = ("split", "source", "name", "category", "image", "mask", "licence_class", "licence")
CARD = "# Card\n" + "\n".join(
    f"<!-- {part}: written by packshot -->\nold\n<!-- end of {part} -->" for part in ("identity", "figures", "verdict")
)


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_network(build_network(SPEC), SPEC, folder)
    return folder / "tiny-3.json"


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    rows = []
    for source in ("studio", "shelf"):
        for number, shape in enumerate(("disc", "ring", "wedge")):
            drawing = draw(shape, "plain" if source == "studio" else "textured", (80, 100 + number))
            name = f"{source}{number}"
            Image.fromarray(drawing.image).save(folder / f"{name}.png")
            Image.fromarray(np.rint(drawing.alpha * 255).astype(np.uint8)).save(folder / f"{name}-mask.png")
            rows.append(("dev", source, name, "product", f"{name}.png", f"{name}-mask.png", "cc0", "drawn"))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([FIELDS, *rows])
    return folder


@pytest.fixture
def peer_file(tmp_path):
    return write_dark_graph(tmp_path / "dark.onnx")


def write_manifest(peer_file: Path, **more: str) -> Path:
    fields = {"name": '"dark"', "file": f'"{peer_file.name}"', "canvas_px": "32"}
    fields |= {"mean": "[0.5, 0.5, 0.5]", "std": "[0.1, 0.1, 0.1]", **more}
    path = peer_file.with_suffix(".toml")
    path.write_text("\n".join(f"{key} = {value}" for key, value in fields.items()))
    return path


def run(*arguments: object, code: int = 0) -> str:
    environment = {"PACKSHOT_RUNTIME": "torch-cpu", "COLUMNS": "400"}
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)
    assert done.exit_code == code, done.output
    return done.output


def test_a_model_is_measured_beside_a_peer(sidecar, data, peer_file, tmp_path):
    card = tmp_path / "card.md"
    card.write_text(CARD)
    out, cache = tmp_path / "out", tmp_path / "cache"
    options = ("--data", data, "--out", out, "--peer", write_manifest(peer_file), "--cache", cache, "--threads", 1)
    said = run("evaluate", sidecar, *options, "--card", card)
    assert "| studio | 3 | network |" in said
    assert "A forward of tiny@3 takes" in said
    report = json.loads((out / "report.json").read_text())
    assert [each["name"] for each in report["candidates"]] == ["network", "product", "dark"]
    assert set(report["slices"]) == {"all", "source", "category", "contrast", "thin parts", "size"}
    assert report["slices"]["source"]["shelf"]["n"] == 3
    found = report["slices"]["all"]["all"]["figures"]["dark"]["iou"]
    assert found["n"] == 6
    assert found["low"] <= found["mean"] <= found["high"]
    assert found["mean"] > 0.5
    assert report["paired"]["all"]["all"]["product"]["dark"]["iou"]["outcome"] == "loss"
    assert report["forward_ratios"]["dark"] > 0
    assert len(list(cache.rglob("*.png"))) == 6
    page = (out / "report.html").read_text()
    assert page.count("<img ") == 6 * 5
    assert "src='http" not in page
    assert "`tiny@3`" in card.read_text()
    assert "| shelf | 3 | dark |" in card.read_text()
    assert "| shelf | product |" in card.read_text()
    assert "own estimator" in card.read_text()
    assert "old" in card.read_text(), "only the parts of this command are written"

    # The same run passes its own gate; a baseline that was better shuts it.
    baseline = out / "baseline.json"
    baseline.write_text(json.dumps(report))
    without = options[:4]
    assert "No slice fell behind" in run("evaluate", sidecar, *without, "--gate", baseline)
    for part in report["slices"]["source"].values():
        part["figures"]["product"]["iou"]["mean"] += 0.1
    baseline.write_text(json.dumps(report))
    assert "IoU of the product" in run("evaluate", sidecar, *without, "--gate", baseline, code=1)
    # The new report takes the place of the baseline, after that was read.
    kept = out / "report.json"
    kept.write_text(json.dumps(report))
    assert "IoU of the product" in run("evaluate", sidecar, *without, "--gate", kept, code=1)
    kept.write_text("{}")
    assert "is no whole report" in run("evaluate", sidecar, *without, "--gate", kept, code=2)
    assert kept.read_text() == "{}", "nothing ran"


def test_kept_mattes_are_of_the_same_peer_and_photo(data, peer_file, tmp_path):
    cache = tmp_path / "cache"
    rows = read_manifest(data)

    def measure(**more: str) -> list[float]:
        peer = OnnxPeer(PeerManifest.read(write_manifest(peer_file, **more)), threads=1)
        done = evaluation.evaluate([peer], rows, threads=1, cache_dir=cache, report=lambda _: None)
        return [photo.figures["dark"]["mae"] for photo in done.photos]

    first = measure()
    assert measure() == first
    assert len(list(cache.rglob("*.png"))) == len(rows)
    changes = ({"processing": '"letterbox"'}, {"mean": "[0.4, 0.5, 0.5]"}, {"std": "[1, 1, 1]"})
    for number, change in enumerate(changes, start=2):
        measure(**change)
        assert len(list(cache.rglob("*.png"))) == number * len(rows), change
    assert measure(processing='"letterbox"', output='"logits"') != measure(processing='"letterbox"')
    # Another photo under the same name.
    shutil.copyfile(data / "shelf0.png", data / "studio0.png")
    again = measure()
    assert again[0] != first[0]
    assert again[1:] == first[1:]


def test_what_cannot_be_measured_is_told(sidecar, data, tmp_path):
    assert "no model 'nothing'" in run("evaluate", "nothing", "--data", data, code=2)
    assert "no sidecar" in run("evaluate", tmp_path / "none.json", "--data", data, code=2)
    assert "no photo of the split 'test'" in run("evaluate", sidecar, "--data", data, "--split", "test", code=2)
    assert "manifest (*.toml)" in run("evaluate", sidecar, "--data", data, "--peer", "other=a.onnx", code=2)
    assert "no file" in run("evaluate", sidecar, "--data", data, "--peer", "u2net=a.onnx", code=2)
    twice = ("--against", sidecar, "--against", sidecar)
    assert "once" in run("evaluate", sidecar, "--data", data, *twice, code=2)
    assert "of each are needed" in run("calibrate", sidecar, "--data", data, code=2)
    assert ModelSpec.from_json(sidecar.read_text()).calibration is None


def test_every_figure_stands_in_one_of_two_tables():
    assert set(CARD_FIGURES) | set(OTHER_FIGURES) == set(FIGURES)
    figures = {name: {"n": 2, "mean": 0.5, "low": 0.4, "high": 0.6} for name in FIGURES}
    names = ("network", "product", "dark")
    part = {"n": 2, "figures": dict.fromkeys(names, figures), "poor": dict.fromkeys(names, 0)}
    won = {"product": {"dark": {name: {"outcome": "win"} for name in FIGURES}}}
    summary = {
        "slices": {"source": {"shelf": part}, "all": {"all": part}},
        "paired": {"source": {"shelf": won}},
        "candidates": [
            {"name": name, "kind": kind} for name, kind in zip(names, ("network", "product", "peer"), strict=True)
        ],
    }
    first, second = by_source(summary).splitlines(), others_by_source(summary).splitlines()
    for name, figure in FIGURES.items():
        assert f" {figure.label} |" in (first if name in CARD_FIGURES else second)[0]
    assert len(first) == 2 + 2 * 3
    assert second[0].startswith("| part | model | Dice | S | SAD | MSE | Conn |")
    assert second[2].startswith("| shelf | product | 0.500 | 0.500 | 0.50 | 0.5000 |")
    assert second[3].startswith("| shelf | dark | 0.500 + |")
    assert [line.split(" | ")[1] for line in second[2:]] == ["product", "dark"] * 2


def test_released_versions_keep_their_limits(sidecar, tmp_path, monkeypatch):
    limits = Calibration(slope=1.0, intercept=0.0, review_below=0.6, fail_below=0.3, photos=10, empties=5)
    run_folder, package = tmp_path / "run", tmp_path / "package"
    for folder in (run_folder, package):
        shutil.copytree(sidecar.parent, folder)
    monkeypatch.setattr(candidates, "WEIGHTS_FOLDER", package)
    written = _write_limits(read_sidecar(run_folder / "tiny-3.json"), limits, tmp_path / "out")
    assert written.sidecar == run_folder / "tiny-3.json"
    assert read_sidecar(written.sidecar).spec.calibration == limits

    before = (package / "tiny-3.json").read_bytes()
    written = _write_limits(read_sidecar(package / "tiny-3.json"), limits, tmp_path / "out")
    assert (package / "tiny-3.json").read_bytes() == before
    assert written.sidecar == tmp_path / "out" / "model" / "tiny-3-limits.json"
    assert read_sidecar(written.sidecar).spec.calibration == limits
    written.load(runtime="torch-cpu", threads=1)
    assert find_model("unet-fast@1", Settings(data_dir=tmp_path)).is_released


def test_sources_are_left_out_of_a_calibration_and_named(sidecar, data, tmp_path, monkeypatch):
    seen = []

    def collect(_own, rows, _report):
        seen.extend(row.source for row in rows)
        rng = np.random.default_rng(0)
        confidences = rng.uniform(0.3, 1, 60)
        found = [Sample(str(c), "studio", c, 0.95 if rng.random() < c else 0.6) for c in confidences]
        return [*found, *(Sample(f"empty{n}", "room", n / 50, None) for n in range(10))]

    monkeypatch.setattr(calibration, "collect", collect)
    shutil.copytree(sidecar.parent, tmp_path / "run")
    card, out, own = tmp_path / "card.md", tmp_path / "out", tmp_path / "run" / "tiny-3.json"
    card.write_text(CARD)
    run("calibrate", own, "--data", data, "--without", "shelf", "--out", out, "--card", card)
    assert set(seen) == {"studio"}
    record = json.loads((out / "calibration.json").read_text())
    assert (record["model"], record["without"]) == ("tiny@3", ["shelf"])
    assert "Left out: shelf." in card.read_text()
    assert read_sidecar(own).spec.calibration == Calibration.from_json(record["calibration"])
    misspelt = run("calibrate", own, "--data", data, "--without", "shelves", code=2)
    assert "no photo is of the source 'shelves'; there are shelf, studio" in misspelt


def test_rembgs_processing_stretches_and_a_letterbox_does_not(peer_file):
    image = np.full((40, 60, 3), 120, np.uint8)
    image[10:30, 20:40] = 110
    rembg = PeerManifest.read(write_manifest(peer_file))
    fixed = PeerManifest.read(write_manifest(peer_file, processing='"letterbox"', output='"logits"'))
    stretched = OnnxPeer(rembg, threads=1).make(image)["dark"].alpha
    assert (stretched.min(), stretched.max()) == (0, 1)
    flat = OnnxPeer(rembg, threads=1).make(np.full((40, 60, 3), 90, np.uint8))["dark"].alpha
    assert flat.max() == 0, "a flat map is no product, and no NaN"
    logits = OnnxPeer(fixed, threads=1).make(image)["dark"].alpha
    assert 0.1 < logits.min() < logits.max() < 0.9


def test_a_peers_file_is_checked(peer_file):
    sha256 = hashlib.sha256(peer_file.read_bytes()).hexdigest()
    assert OnnxPeer(PeerManifest.read(write_manifest(peer_file, sha256=f'"{sha256}"')), threads=1).sha256 == sha256
    with pytest.raises(CandidateError, match="its manifest says"):
        OnnxPeer(PeerManifest.read(write_manifest(peer_file, sha256='"00"')), threads=1)
    with pytest.raises(CandidateError, match="is not a peer's manifest"):
        PeerManifest.read(write_manifest(peer_file, colour='"red"'))
    with pytest.raises(CandidateError, match="processing is one of"):
        PeerManifest.read(write_manifest(peer_file, processing='"magic"'))
    known = parse_peer("isnet=some.onnx")
    assert (known.canvas_px, known.std, known.processing) == (1024, (1.0, 1.0, 1.0), "rembg")
