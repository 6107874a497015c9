"""Weights on disk are what their sidecar says, or they are not loaded."""

import hashlib
from pathlib import Path

from vision.segmenters.spec import ModelSpec


class WeightsError(Exception):
    """Weights do not fit their sidecar: wrong checksum, or tensors missing or left over."""


class ChecksumError(WeightsError):
    """The file is another one than its description says."""


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checked_weights(spec: ModelSpec, folder: Path) -> Path:
    """The weights of `spec` in `folder`. ChecksumError when their sha256 is not the sidecar's."""
    path = folder / spec.weights_name
    found = file_sha256(path)
    if found != spec.weights_sha256:
        raise ChecksumError(f"{path.name} has sha256 {found}, its sidecar says {spec.weights_sha256}")
    return path
