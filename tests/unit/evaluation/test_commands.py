"""`packshot evaluate` and `packshot calibrate` on drawn photos, with a tiny network and a peer of one node."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from tests.images import draw
from tests.onnx_graphs import write_dark_graph
from training.evaluation.candidates import CandidateError
from training.evaluation.peers import OnnxPeer, PeerManifest, parse_peer
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
