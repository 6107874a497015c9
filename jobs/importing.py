"""Where an imported model comes from: a run's sidecar, or the manifest of an ONNX graph; both name a file of weights.

Nothing is executed and nothing is loaded here: weights are bytes with a sha256.
"""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from jobs.registry import RegistryError
from vision.segmenters.spec import ONNX, ModelSpec

OUTPUTS = ("alpha", "logits")
FITS = ("letterbox", "squash")
_NEEDED = ("name", "version", "sha256", "canvas_hw", "mean", "std")


@dataclass(frozen=True)
class Described:
    """A model as its description has it. `weights` is a path or an http(s) URL."""

    spec: ModelSpec
    weights: Path | str


def describe(path: Path) -> Described:
    """From `*.json` (a sidecar, its weights beside it), `*.toml` (a manifest) or a run's folder. RegistryError."""
    if path.is_dir():
        found = sorted(path.glob("*.json")) or sorted(path.glob("weights/*.json"))
        if len(found) != 1:
            raise RegistryError(f"{path} holds {len(found)} sidecars (*.json); name the one that you mean.")
        path = found[0]
    if not path.is_file():
        raise RegistryError(f"There is no {path}.")
    if path.suffix == ".toml":
        return _manifest(path)
    try:
        spec = ModelSpec.from_json(path.read_text(encoding="utf-8"))
    except (KeyError, TypeError, ValueError) as error:
        raise RegistryError(f"{path} is no sidecar of a model: {error}") from error
    return Described(spec, path.parent / spec.weights_name)


def _manifest(path: Path) -> Described:
    """TOML: name, version, `file` (beside it) or `url`, sha256, canvas_hw, mean, std; output, fit, licence."""
    try:
        given: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RegistryError(f"{path} is no TOML: {error}") from error
    file, url = given.pop("file", None), given.pop("url", None)
    if (file is None) == (url is None):
        raise RegistryError(f"{path} needs either `file` or `url`.")
    known = {field.name for field in fields(ModelSpec)} | {"sha256"}
    missing, odd = [name for name in _NEEDED if name not in given], sorted(given.keys() - known)
    if missing or odd:
        raise RegistryError(
            f"{path}: missing {', '.join(missing) or 'nothing'}; unknown {', '.join(odd) or 'nothing'}."
        )
    if given.get("output", "alpha") not in OUTPUTS or given.get("fit", "letterbox") not in FITS:
        raise RegistryError(f"{path}: output is one of {', '.join(OUTPUTS)}, fit one of {', '.join(FITS)}.")
    for name, count in (("canvas_hw", 2), ("mean", 3), ("std", 3)):
        numbers = given[name] if isinstance(given[name], list) else []
        if len(numbers) != count or not all(isinstance(number, int | float) for number in numbers):
            raise RegistryError(f"{path}: {name} takes {count} numbers.")
        given[name] = tuple(numbers)
    spec = ModelSpec(
        architecture=ONNX,
        encoder="",
        decoder_channels=(),
        weights_sha256=str(given.pop("sha256")).lower(),
        **{"output": "alpha", **given},
    )
    return Described(spec, url if url is not None else path.parent / file)
