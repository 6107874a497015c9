"""The model's conversion, made by the first process of a test run that needs it and lent to the others.

Each test has a data folder of its own, and converting takes longer than most of them. The first one still converts.
"""

import shutil
import tempfile
from pathlib import Path

_KEPT = Path(tempfile.mkdtemp(prefix="packshot-conversions-"))


def lend(data_dir: Path) -> None:
    """Put what is kept into a data folder."""
    shutil.copytree(_KEPT, data_dir / "models", dirs_exist_ok=True)


def keep(data_dir: Path) -> None:
    """Keep what a process in this data folder converted."""
    for graph in (data_dir / "models").glob("*-openvino-*.xml"):
        if not (_KEPT / graph.name).exists():
            for suffix in (".bin", ".sha256", ".xml"):
                shutil.copy(graph.with_suffix(suffix), _KEPT)
