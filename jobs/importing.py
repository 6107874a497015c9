"""Where a brought model comes from: a run's sidecar, or a manifest; both name a file of weights.

Nothing is executed and nothing is loaded here: weights are bytes with a sha256.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from jobs.registry import RegistryError
from vision.segmenters.spec import ONNX, ModelSpec

MAX_WEIGHTS_BYTES = 2 * 2**30
MAX_MANIFEST_BYTES = 64 * 1024
_MAX_HEADER_BYTES = 100_000_000
_OUTPUTS = ("alpha", "logits")
_FITS = ("letterbox", "squash")
_LOOKS = (1, 2)
_CANVAS = range(32, 4097)
_CHANNELS = range(1, 4097)
_MOST_STAGES = 8
_COLOURS = 3
_HUGE = 1e6
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NEEDED = ("name", "version", "sha256", "canvas_hw", "mean", "std", "licence")
_OF_GRAPHS = ("output", "output_tensor", "fit")
_OF_NETWORKS = ("architecture", "encoder", "decoder_channels")
_REFUSED = frozenset({".pt", ".pth", ".ckpt", ".bin", ".pkl", ".torchscript"})
_PICKLED = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""Starts of PyTorch's own files: ZIP archives, which TorchScript is too, and bare pickles."""


@dataclass(frozen=True)
class Described:
    """A model as its description has it. `weights` is a path or an http(s) URL."""

    spec: ModelSpec
    weights: Path | str


def describe(path: Path) -> Described:
    """From `*.json` (a sidecar, its weights beside it), `*.toml` (a manifest) or a run's folder.

    `RegistryError`: `model_not_found`, `invalid_manifest`, `unsafe_weights`.
    """
    if path.is_dir():
        found = sorted(path.glob("*.json")) or sorted(path.glob("weights/*.json"))
        if len(found) != 1:
            raise _invalid(f"{path} holds {len(found)} sidecars (*.json); name the one that you mean.")
        path = found[0]
    if not path.is_file():
        raise RegistryError("model_not_found", f"There is no {path}.")
    if path.suffix in _REFUSED:
        raise _unsafe(path.name)
    if path.suffix not in {".json", ".toml"}:
        raise _invalid(
            f"{path.name} says nothing of itself: describe it by a manifest (*.toml), as docs/models.md shows."
        )
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise _invalid(f"{path} has more than {MAX_MANIFEST_BYTES} bytes.")
    described = _manifest(path) if path.suffix == ".toml" else _sidecar(path)
    _check(described.spec, str(path))
    return described


def require_weights(path: Path) -> None:
    """`RegistryError`: `weights_too_large`, or `unsafe_weights` for what PyTorch would unpickle or run."""
    if path.stat().st_size > MAX_WEIGHTS_BYTES:
        raise too_large()
    with path.open("rb") as file:
        if file.read(8).startswith(_PICKLED) and not _is_safetensors(file):
            raise _unsafe(path.name)


def _is_safetensors(file: BinaryIO) -> bool:
    """Whether it begins with a header of safetensors: its length in 8 bytes, which may be any, and a JSON object."""
    file.seek(0)
    size = int.from_bytes(file.read(8), "little")
    if size > _MAX_HEADER_BYTES:
        return False
    try:
        return isinstance(json.loads(file.read(size)), dict)
    except (ValueError, RecursionError):
        return False


def too_large() -> RegistryError:
    """The refusal of weights beyond the limit."""
    return RegistryError("weights_too_large", f"The file of weights has more than {MAX_WEIGHTS_BYTES} bytes.")


def _sidecar(path: Path) -> Described:
    try:
        spec = ModelSpec.from_json(path.read_text(encoding="utf-8"))
    except (KeyError, TypeError, ValueError) as error:
        raise _invalid(f"{path} is no sidecar of a model: {error}") from error
    return Described(spec, path.parent / spec.weights_name)


def _manifest(path: Path) -> Described:
    try:
        given: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no TOML, or no UTF-8
        raise _invalid(f"{path} is no TOML: {error}") from error
    file, url = given.pop("file", None), given.pop("url", None)
    where = file if url is None else url
    if (file is None) == (url is None) or not isinstance(where, str) or not where:
        raise _invalid(f"{path} needs either `file` or `url`.")
    if Path(where).suffix in _REFUSED:
        raise _unsafe(where)
    is_graph = "architecture" not in given
    known = {*_NEEDED, "looks", *(_OF_GRAPHS if is_graph else _OF_NETWORKS)}
    needed = _NEEDED if is_graph else (*_NEEDED, *_OF_NETWORKS)
    missing, odd = [name for name in needed if name not in given], sorted(given.keys() - known)
    if missing or odd:
        raise _invalid(f"{path}: missing {', '.join(missing) or 'nothing'}; unknown {', '.join(odd) or 'nothing'}.")
    return Described(_spec(given, is_graph=is_graph, at=str(path)), url if url is not None else path.parent / where)


def _spec(given: Mapping[str, Any], *, is_graph: bool, at: str) -> ModelSpec:
    """The spec; its values are judged by `_check`."""
    if not isinstance(given["licence"], str) or not given["licence"].strip():
        raise _invalid(f"{at}: licence says by what licence the weights may be used.")
    lists = {name: given[name] for name in ("canvas_hw", "mean", "std")}
    lists["decoder_channels"] = given.get("decoder_channels", [])
    for name, value in lists.items():
        if not isinstance(value, list):
            raise _invalid(f"{at}: {name} is a list of numbers.")
    defaults = {"output": "alpha"} if is_graph else {}
    rest = {name: value for name, value in given.items() if name not in {*lists, "sha256"}}
    return ModelSpec(
        **{
            "architecture": ONNX,
            "encoder": "",
            "weights_sha256": str(given["sha256"]).lower(),
            **{name: tuple(value) for name, value in lists.items()},
            **defaults,
            **rest,
        }
    )


def _check(spec: ModelSpec, at: str) -> None:
    """Every value has its type and is in its range. `RegistryError` `invalid_manifest`."""
    texts = ("name", "version", "architecture", "encoder", "output", "fit", "licence")
    number = spec.output_tensor
    is_tensor = (isinstance(number, str) and number) or (type(number) is int and number >= 0)
    rules = {
        **{name: (isinstance(getattr(spec, name), str), "is text") for name in texts},
        "sha256": (_SHA256.fullmatch(spec.weights_sha256), "has 64 hexadecimal digits"),
        "canvas_hw": (_are_whole(spec.canvas_hw, _CANVAS, 2), "takes 2 whole numbers, height and width, 32 to 4096"),
        "mean": (_are_numbers(spec.mean), "takes 3 numbers"),
        "std": (_are_numbers(spec.std) and min(spec.std) > 0, "takes 3 numbers above 0"),
        "decoder_channels": (
            _are_whole(spec.decoder_channels, _CHANNELS, min(len(spec.decoder_channels), _MOST_STAGES)),
            f"takes up to {_MOST_STAGES} whole numbers, 1 to 4096",
        ),
        "output": (spec.output in _OUTPUTS, f"is one of {', '.join(_OUTPUTS)}"),
        "fit": (spec.fit in _FITS, f"is one of {', '.join(_FITS)}"),
        "looks": (type(spec.looks) is int and spec.looks in _LOOKS, "is 1 or 2"),
        "output_tensor": (is_tensor, "is an output's number, from 0, or its name"),
    }
    for name, (holds, rule) in rules.items():
        if not holds:
            raise _invalid(f"{at}: {name} {rule}.")


def _are_whole(values: Sequence[object], allowed: range, count: int) -> bool:
    return len(values) == count and all(type(value) is int and value in allowed for value in values)


def _are_numbers(values: Sequence[object]) -> bool:
    return len(values) == _COLOURS and all(type(value) in {int, float} and abs(value) < _HUGE for value in values)  # type: ignore[arg-type]


def _invalid(detail: str) -> RegistryError:
    return RegistryError("invalid_manifest", detail)


def _unsafe(name: str) -> RegistryError:
    return RegistryError(
        "unsafe_weights",
        f"{name} is TorchScript or a pickled checkpoint: loading it can run what is in it. Export it to ONNX, or save "
        "its state dict as safetensors (docs/models.md).",
    )
