"""Two processes learn what one would: the same first gradient, averaged."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from tests.unit.training.data import draw_data
from tests.unit.training.ddp_step import main

ROOT = Path(__file__).parents[3]


def _two_processes(data, out):
    command = [sys.executable, "-m", "tests.unit.training.ddp_step", "2", str(data), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_averaged_gradient_of_two_processes_is_that_of_one(tmp_path):
    (tmp_path / "data").mkdir()
    data = draw_data(tmp_path / "data")
    main(1, data, tmp_path)
    _two_processes(data, tmp_path)
    one, two = (torch.load(tmp_path / f"gradient-{number}.pt", weights_only=True) for number in (1, 2))
    assert one.keys() == two.keys()
    assert len(one) > 100
    assert max(each.abs().max() for each in one.values()) > 1e-3
    for name, gradient in one.items():
        # Sums in another order: float32 keeps seven digits of the largest entry.
        assert (gradient - two[name]).abs().max() < 1e-5 * max(1.0, gradient.abs().max().item()), name
    assert sorted(path.name for path in (tmp_path / "run-2" / "weights").iterdir()) == [
        "tiny-1.json",
        "tiny-1.safetensors",
    ]
