"""Files of weights, told apart by how they begin."""

from pathlib import Path

import pytest

from jobs.importing import require_weights
from jobs.registry import RegistryError


def test_safetensors_may_begin_as_a_pickle_does(tmp_path: Path) -> None:
    path = tmp_path / "shop-1.safetensors"
    for protocol in (2, 3, 4, 5):
        size = 0x80 + (protocol << 8)  # its first two bytes are those of a pickle
        path.write_bytes(size.to_bytes(8, "little") + b"{}".ljust(size))
        require_weights(path)
        path.write_bytes(size.to_bytes(8, "little") + b"[" * size)
        with pytest.raises(RegistryError, match="pickled"):
            require_weights(path)
