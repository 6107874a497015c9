"""What is kept and printed of where weights came from."""

from pathlib import Path

import pytest

from cli.registry import _shown


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (Path("runs/shop-1.safetensors"), "runs/shop-1.safetensors"),
        ("https://me:5ecret@files.example:8443/dark.onnx?sig=5ecret#5ecret", "https://files.example:8443/dark.onnx"),
        ("me:5ecret@files.example/dark.onnx", "The URL of the weights"),
        ("https://[5ecret", "The URL of the weights"),
    ],
)
def test_a_source_is_shown_without_its_secrets(source: Path | str, shown: str) -> None:
    assert _shown(source) == shown
