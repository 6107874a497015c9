"""`packshot models` against a real database: import, list, verify, promote, roll back."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from cli.main import app
from config.settings import Settings
from db.session import Sessions
from jobs import registry
from jobs.models import installed_models
from storage.local import LocalStorage
from tests.onnx_graphs import write_dark_graph
from tests.receivers import Receiver, reply
from vision.segmenters.checksum import file_sha256
from vision.segmenters.network import build_network, save_network
from vision.segmenters.spec import ModelSpec
from worker.gpu import load_models
from worker.registry import RegisteredModels

SPEC = ModelSpec(
    name="shop",
    version="1",
    architecture="smp-unet",
    encoder="tu-tf_efficientnet_lite0",
    decoder_channels=(16, 8, 8, 8, 8),
    canvas_hw=(64, 64),
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    weights_sha256="",
)
MANIFEST = """
name = "dark"
version = "1"
{where}
sha256 = "{sha256}"
canvas_hw = [32, 32]
mean = [0.5, 0.5, 0.5]
std = [0.1, 0.1, 0.1]
output = "logits"
licence = "ours"
"""


class Command:
    def __init__(self, settings: Settings) -> None:
        self.environment = {
            "PACKSHOT_DATABASE_URL": settings.require_database_url(),
            "PACKSHOT_DATA_DIR": str(settings.data_dir),
            "PACKSHOT_RUNTIME": "torch-cpu",
            "PACKSHOT_MICROBATCH_IMAGES": "1",  # one warm-up
            "PACKSHOT_EGRESS_ALLOW": "127.0.0.0/8",
            "COLUMNS": "200",
        }

    def __call__(self, *arguments: object, code: int = 0) -> str:
        words = ["models", *(str(argument) for argument in arguments)]
        done = CliRunner().invoke(app, words, env=self.environment)
        assert done.exit_code == code, done.output
        return done.output


@pytest.fixture
def command(settings: Settings) -> Command:
    return Command(settings)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return write_dark_graph(tmp_path / "dark.onnx")


def write_manifest(graph: Path, where: str | None = None, sha256: str | None = None) -> Path:
    path = graph.with_suffix(".toml")
    text = MANIFEST.format(where=where or f'file = "{graph.name}"', sha256=sha256 or file_sha256(graph))
    path.write_text(text, encoding="utf-8")
    return path


def test_a_runs_weights_are_imported_promoted_and_rolled_back(command: Command, tmp_path: Path) -> None:
    torch.manual_seed(0)
    for version in ("1", "2"):
        save_network(
            build_network(SPEC), ModelSpec(**{**vars(SPEC), "version": version}), tmp_path / version / "weights"
        )
    said = command("import", tmp_path / "1", "--promote")
    assert "Imported shop@1" in said
    assert "`packshot models promote shop@2`" in command("import", tmp_path / "2" / "weights" / "shop-2.json")
    rows = [line.split() for line in command("list").splitlines() if "shop@" in line]
    assert [row[1] for row in rows] == ["shop@1", "shop@2"]
    assert [row[3] for row in rows] == ["shop", "│"], "a name stands for what was promoted alone"
    assert command("promote", "shop@2") == "shop stands for shop@2.\n"
    assert command("rollback", "shop") == "Took shop@2 back; shop stands for shop@1.\n"
    assert "never change" in command("import", tmp_path / "1", code=1)
    assert "2 sidecars" in command("import", _two(tmp_path), code=1)


def _two(tmp_path: Path) -> Path:
    folder = tmp_path / "both"
    folder.mkdir()
    for version in ("1", "2"):
        (folder / f"{version}.json").write_text("{}", encoding="utf-8")
    return folder


def test_an_onnx_graph_is_imported_and_runs_on_a_worker(
    command: Command, graph: Path, settings: Settings, sessions: Sessions
) -> None:
    command("import", write_manifest(graph), "--promote")
    graph.unlink()
    source = RegisteredModels(settings, sessions, LocalStorage(settings.files_path))
    models = load_models(Settings(**{**settings.model_dump(), "model": "dark", "runtime": "torch-cpu"}), source)
    assert (models.default.version, models.default.runtime) == ("dark@1", "openvino-cpu")
    assert "dark@1: ok" in command("verify")

    # A copy that went bad is fetched again; a bad original is told.
    copied = settings.data_dir / "models" / "imported" / "dark-1.onnx"
    copied.write_bytes(b"bad")
    assert source.load("dark@1").version == "dark@1"
    [stored] = LocalStorage(settings.files_path).list("models")
    LocalStorage(settings.files_path).put(stored.key, b"bad")
    copied.unlink()
    assert "dark@1: dark-1.onnx has sha256" in command("verify", code=1)


def test_weights_come_from_a_url_with_their_sha256(command: Command, graph: Path) -> None:
    body, sha256 = graph.read_bytes(), file_sha256(graph)
    with Receiver() as server:
        server.routes["/dark.onnx"] = lambda _: reply(200, body)
        command.environment["PACKSHOT_EGRESS_ALLOW"] = server.allow
        where = f'url = "{server.url("/dark.onnx")}"'
        assert "its sidecar says" in command("import", write_manifest(graph, where, "0" * 64), code=1)
        assert "answered 404" in command(
            "import", write_manifest(graph, where, sha256), "--url", server.url("/gone.onnx"), code=1
        )
        command.environment["PACKSHOT_EGRESS_ALLOW"] = ""
        assert "may not be called" in command("import", write_manifest(graph, where, sha256), code=1)
        command.environment["PACKSHOT_EGRESS_ALLOW"] = server.allow
        assert "Imported dark@1" in command("import", write_manifest(graph, where, sha256))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("version", "verzion"), "missing version"),
        (('"logits"', '"mask"'), "output is one of"),
        (('file = "dark.onnx"', ""), "either `file` or `url`"),
        (("[32, 32]", "[32]"), "canvas_hw takes 2 numbers"),
        (('"dark"', '"Dark side"'), "is no name"),
        (('name = "dark"', "name ="), "is no TOML"),
    ],
)
def test_a_bad_manifest_is_told(command: Command, graph: Path, change: tuple[str, str], said: str) -> None:
    manifest = write_manifest(graph)
    manifest.write_text(manifest.read_text().replace(*change, 1))
    assert said in command("import", manifest, code=1)


def test_the_package_keeps_its_own_versions(command: Command, tmp_path: Path, sessions: Sessions) -> None:
    spec = installed_models().specs[0]
    (tmp_path / "mine.json").write_text(spec.to_json(), encoding="utf-8")
    assert "never change" in command("import", tmp_path / "mine.json", code=1)
    assert "There is no" in command("import", tmp_path / "nothing.toml", code=1)
    assert "no version 'x@1'" in command("promote", "x@1", code=1)
    assert "was promoted" in command("rollback", spec.name, code=1)
    with sessions() as session:
        assert registry.read(session, installed_models()).imported == frozenset()
