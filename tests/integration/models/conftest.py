from pathlib import Path

import pytest

from config.settings import Settings
from tests.integration.models.support import Command
from tests.onnx_graphs import write_dark_graph


@pytest.fixture
def command(settings: Settings) -> Command:
    return Command(settings)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return write_dark_graph(tmp_path / "dark.onnx")
