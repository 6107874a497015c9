"""Rooms import one way, and what must come without torch does."""

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def test_the_contracts_of_pyproject_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=_ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", ["vision.codec.decode", "vision.compose", "worker.gpu", "cli.cutting"])
def test_comes_without_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["api.app", "cli.main", "jobs.service"])
def test_comes_without_what_workers_compute_with(module: str) -> None:
    heavy = {"torch", "numba", "scipy", "cv2", "isal", "openvino", "onnxruntime"}
    code = f"import sys, {module}; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_only_the_alembic_folder_has_no_init() -> None:
    # With one it would shadow the library of that name.
    assert not (_ROOT / "alembic" / "__init__.py").exists()
