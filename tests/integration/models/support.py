"""`packshot models` as a command of a test, and manifests to give to it."""

from pathlib import Path

from typer.testing import CliRunner

from cli.main import app
from config.settings import Settings
from vision.segmenters.checksum import file_sha256
from vision.segmenters.spec import ModelSpec

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


def write_manifest(graph: Path, where: str | None = None, sha256: str | None = None) -> Path:
    path = graph.with_suffix(".toml")
    text = MANIFEST.format(where=where or f'file = "{graph.name}"', sha256=sha256 or file_sha256(graph))
    path.write_text(text, encoding="utf-8")
    return path
