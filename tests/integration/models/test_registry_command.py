"""`packshot models` against a real database: import, list, verify, promote, roll back."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sqlalchemy import select
from typer.testing import CliRunner

from cli.evaluation import _write_limits
from cli.main import app
from cli.model_source import training_source
from config.settings import Settings
from db.session import Sessions
from db.worker_models import ModelVersion
from jobs import registry
from jobs.importing import describe
from jobs.models import installed_models
from storage.keys import model_key
from storage.local import LocalStorage
from tests.integration.models.support import SPEC, Command, write_manifest
from tests.receivers import Receiver, reply
from training.checkpoints import load_model
from training.evaluation.candidates import CandidateError, Found
from vision.calibration import Calibration
from vision.segmenters.checksum import file_sha256
from vision.segmenters.network import build_network, save_network
from vision.segmenters.spec import ModelSpec
from worker.gpu import load_models
from worker.registry import RegisteredModels


def test_a_runs_weights_are_imported_promoted_and_rolled_back(command: Command, tmp_path: Path) -> None:
    torch.manual_seed(0)
    for version in ("1", "2"):
        save_network(
            build_network(SPEC), ModelSpec(**{**vars(SPEC), "version": version}), tmp_path / version / "weights"
        )
    said = command("add", tmp_path / "1", "--promote")
    assert "Added shop@1" in said
    assert "`packshot models promote shop@2`" in command("add", tmp_path / "2" / "weights" / "shop-2.json")
    rows = [line.split() for line in command("list").splitlines() if "shop@" in line]
    assert [row[1] for row in rows] == ["shop@1", "shop@2"]
    assert [row[3] for row in rows] == ["shop", "│"], "a name stands for what was promoted alone"
    assert command("promote", "shop@2") == "shop stands for shop@2.\n"
    assert command("rollback", "shop") == "Took shop@2 back; shop stands for shop@1.\n"
    assert "never change" in command("add", tmp_path / "1", code=1)
    assert "2 sidecars" in command("add", _two(tmp_path), code=1)


def test_training_starts_from_what_a_name_stands_for(
    command: Command, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    save_network(build_network(SPEC), ModelSpec(**{**vars(SPEC), "version": "1"}), tmp_path / "weights")
    command("add", tmp_path / "weights" / "shop-1.json", "--promote")
    for name, value in command.environment.items():
        monkeypatch.setenv(name, value)
    for word in ("shop", "shop@1"):
        assert load_model(training_source(word, settings))[0].model_id == "shop@1"
    assert training_source("unet-fast@1", settings) == "unet-fast@1"
    assert training_source("some.ckpt", settings) == "some.ckpt"
    with pytest.raises(CandidateError, match="no model 'shop@2'"):
        training_source("shop@2", settings)


def _two(tmp_path: Path) -> Path:
    folder = tmp_path / "both"
    folder.mkdir()
    for version in ("1", "2"):
        (folder / f"{version}.json").write_text("{}", encoding="utf-8")
    return folder


def test_an_onnx_graph_is_imported_and_runs_on_a_worker(
    command: Command, graph: Path, settings: Settings, sessions: Sessions
) -> None:
    command("add", write_manifest(graph), "--promote")
    sha256 = file_sha256(graph)
    graph.unlink()
    source = RegisteredModels(settings, sessions, LocalStorage(settings.files_path))
    models = load_models(Settings(**{**settings.model_dump(), "model": "dark", "runtime": "torch-cpu"}), source)
    assert (models.default.version, models.default.runtime) == ("dark@1", "openvino-cpu")
    assert "dark@1: ok" in command("verify")

    # A copy that went bad is fetched again; a bad original is told.
    copied = settings.data_dir / "models" / "imported" / sha256 / "dark-1.onnx"
    copied.write_bytes(b"bad")
    assert source.load("dark@1").version == "dark@1"
    [stored] = LocalStorage(settings.files_path).list("models")
    LocalStorage(settings.files_path).put(stored.key, b"bad")
    copied.unlink()
    assert "dark@1: dark-1.onnx has sha256" in command("verify", code=1)


def test_two_versions_whose_files_have_one_name_lie_apart(settings: Settings, sessions: Sessions) -> None:
    storage = LocalStorage(settings.files_path)
    source = RegisteredModels(settings, sessions, storage)
    for name, version in (("a-b", "1"), ("a", "b-1")):
        body = f"{name} {version}".encode()
        sha256 = hashlib.sha256(body).hexdigest()
        spec = replace(SPEC, name=name, version=version, weights_sha256=sha256)
        key = model_key(sha256)
        storage.put(key, body)
        with sessions.begin() as session:
            registry.register(session, spec, installed_models(), key=key, size_bytes=len(body), source="here")
        folder = source.folder(spec)
        assert (folder / spec.weights_name).read_bytes() == body
        assert folder.name == sha256


def test_weights_come_from_a_url_with_their_sha256(command: Command, graph: Path, sessions: Sessions) -> None:
    body, sha256 = graph.read_bytes(), file_sha256(graph)
    with Receiver() as server:
        server.routes["/dark.onnx"] = lambda _: reply(200, body)
        command.environment["PACKSHOT_EGRESS_ALLOW"] = server.allow
        where = f'url = "{server.url("/dark.onnx")}"'
        assert "its sidecar says" in command("add", write_manifest(graph, where, "0" * 64), code=1)
        assert "answered 404" in command(
            "add", write_manifest(graph, where, sha256), "--url", server.url("/gone.onnx"), code=1
        )
        command.environment["PACKSHOT_EGRESS_ALLOW"] = ""
        assert "may not be called" in command("add", write_manifest(graph, where, sha256), code=1)
        command.environment["PACKSHOT_EGRESS_ALLOW"] = server.allow
        manifest, secret = write_manifest(graph, where, sha256), "?X-Amz-Signature=5ecret"
        said = command("add", manifest, "--url", f"{server.url('/gone.onnx')}{secret}", code=1)
        assert (server.url("/gone.onnx") in said, "5ecret" in said) == (True, False)
        command.environment["PACKSHOT_EGRESS_ALLOW"] = ""
        said = command("add", manifest, "--url", f"{server.url('/dark.onnx')}{secret}", code=1)
        assert ("may not be called" in said, "5ecret" in said) == (True, False)
        command.environment["PACKSHOT_EGRESS_ALLOW"] = server.allow
        assert "Added dark@1" in command("add", manifest, "--url", f"{server.url('/dark.onnx')}{secret}")
        with sessions() as session:
            assert session.scalars(select(ModelVersion.source)).all() == [server.url("/dark.onnx")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("version", "verzion"), "missing version"),
        (('"logits"', '"mask"'), "output is one of"),
        (('file = "dark.onnx"', ""), "either `file` or `url`"),
        (("[32, 32]", "[32]"), "canvas_hw takes 2 whole numbers"),
        (("[32, 32]", "[32, 99999]"), "canvas_hw takes 2 whole numbers"),
        (("[32, 32]", '"large"'), "canvas_hw is a list"),
        (("std = [0.1, 0.1, 0.1]", "std = [0.1, 0.1, 0]"), "std takes 3 numbers above 0"),
        (("mean = [0.5, 0.5, 0.5]", "mean = [nan, 0.5, 0.5]"), "mean takes 3 numbers"),
        (('licence = "ours"', ""), "missing licence"),
        (('licence = "ours"', 'licence = " "'), "licence says by what licence"),
        (('licence = "ours"', 'licence = "ours"\noutput_tensor = -1'), "output_tensor is an output's number"),
        (('licence = "ours"', 'licence = "ours"\nlooks = 3'), "looks is 1 or 2"),
        (('licence = "ours"', 'licence = "ours"\nlooks = true'), "looks is 1 or 2"),
        (('sha256 = "', 'sha256 = "x'), "sha256 has 64"),
        (('name = "dark"', 'name = "' + 70_000 * "d" + '"'), "more than 65536 bytes"),
        (('file = "dark.onnx"', 'file = "dark.pt"'), "unsafe_weights"),
        (('file = "dark.onnx"', 'file = "gone.onnx"'), "model_not_found"),
        (('"dark"', '"Dark side"'), "is no name"),
        (('name = "dark"', "name ="), "is no TOML"),
    ],
)
def test_a_bad_manifest_is_told(command: Command, graph: Path, change: tuple[str, str], said: str) -> None:
    manifest = write_manifest(graph)
    manifest.write_text(manifest.read_text().replace(*change, 1))
    assert said in command("add", manifest, code=1)


def test_the_package_keeps_its_own_versions(command: Command, tmp_path: Path, sessions: Sessions) -> None:
    spec = installed_models().specs[0]
    (tmp_path / "mine.json").write_text(spec.to_json(), encoding="utf-8")
    assert "never change" in command("add", tmp_path / "mine.json", code=1)
    assert "model_not_found: There is no" in command("add", tmp_path / "nothing.toml", code=1)
    assert "no version 'x@1'" in command("promote", "x@1", code=1)
    assert "was promoted" in command("rollback", spec.name, code=1)
    with sessions() as session:
        assert registry.read(session, installed_models()).imported == frozenset()


def test_evaluate_and_remove_take_an_added_model_by_name(command: Command, graph: Path, tmp_path: Path) -> None:
    command("add", write_manifest(graph))
    graph.unlink()
    image = np.full((60, 80, 3), 230, np.uint8)
    image[20:40, 20:60] = 20
    mask = np.where(image[..., 0] < 100, 255, 0).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "photo.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    fields = "split,source,name,category,image,mask,licence_class,licence"
    rows = "dev,studio,photo,product,photo.png,mask.png,cc0,drawn"
    (tmp_path / "manifest.csv").write_text(f"{fields}\n{rows}\n", encoding="utf-8")

    def run(*words: object, code: int = 0) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words], env=command.environment)
        assert done.exit_code == code, done.output
        return done.output

    report = tmp_path / "report"
    run("evaluate", "dark@1", "--data", tmp_path, "--out", report)
    figures = json.loads((report / "report.json").read_text(encoding="utf-8"))
    assert "dark@1" in json.dumps(figures)
    assert "There is no model 'brown'" in run("evaluate", "brown", "--data", tmp_path, code=2)
    run("remove", tmp_path / "photo.png", "-o", tmp_path / "out", "--model", "dark@1")
    alpha = np.asarray(Image.open(tmp_path / "out" / "photo.png"))[..., 3]
    assert ((alpha > 127) == (mask > 127)).mean() > 0.98
    assert "model is one of" in run("remove", tmp_path / "photo.png", "-o", tmp_path, "--model", "brown", code=2)


def test_limits_of_an_added_model_are_a_version_of_their_own(command: Command, graph: Path, tmp_path: Path) -> None:
    command("add", write_manifest(graph))
    spec = describe(graph.with_suffix(".toml")).spec
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / spec.weights_name).write_bytes(graph.read_bytes())
    limits = Calibration(slope=1.0, intercept=0.0, review_below=0.6, fail_below=0.3, photos=10, empties=5)
    sidecar = _write_limits(Found(spec, tmp_path / "kept", is_released=True), limits, tmp_path / "out").sidecar
    assert "Added dark@1-limits" in command("add", sidecar)
    assert any("dark@1-limits" in row and "measured" in row for row in command("list").splitlines())
