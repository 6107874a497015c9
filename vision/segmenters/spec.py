"""What a set of weights is: the JSON sidecar beside every .safetensors file."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Self

from vision.arrays import Hw
from vision.calibration import Calibration

ONNX = "onnx"
"""The architecture of models that are an ONNX graph."""
WEIGHTS_FOLDER = Path(__file__).parent / "weights"
"""Holds the models that ship with the package."""


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to build a network, load its weights and feed it."""

    name: str
    version: str
    architecture: str
    encoder: str
    decoder_channels: tuple[int, ...]
    canvas_hw: Hw
    mean: tuple[float, float, float]
    """Per channel, of pixels in [0, 1]."""
    std: tuple[float, float, float]
    weights_sha256: str
    """Of the file with the weights; empty while a model is still in training."""
    calibration: Calibration | None = None
    """What its confidence is worth; None until it was measured."""
    output: str = "logits"
    """What the output of an ONNX graph holds: `logits`, to which a sigmoid is applied, or `alpha` in [0, 1]."""
    output_tensor: int | str = 0
    """Which output of an ONNX graph, by number or by name."""
    fit: str = "letterbox"
    """How a photo comes to the canvas: `letterbox` keeps its aspect, `squash` does not."""
    looks: Literal[1, 2] = 1
    """How often the network sees a photo: 2 adds a mirrored view, nearer where the first look found the product."""
    licence: str = ""
    """Of weights that somebody brought, as they state it."""
    learnt_from: tuple[str, ...] = ("unknown",)
    """Licence classes of all photos that the weights learnt from, also by way of a model that they started from."""

    @property
    def is_onnx(self) -> bool:
        """Whether the weights are an ONNX graph, which needs no code of ours to be built."""
        return self.architecture == ONNX

    @property
    def weights_name(self) -> str:
        """File name of the weights."""
        return f"{self.file_stem}.onnx" if self.is_onnx else f"{self.file_stem}.safetensors"

    @property
    def model_id(self) -> str:
        """As jobs name it, such as `unet-fast@1`."""
        return f"{self.name}@{self.version}"

    @property
    def file_stem(self) -> str:
        """File name of weights and sidecar, without its ending."""
        return f"{self.name}-{self.version}"

    def to_json(self) -> str:
        """The sidecar's text."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a sidecar. KeyError or TypeError when fields are missing or unknown."""
        fields = json.loads(text)
        for key in ("decoder_channels", "canvas_hw", "mean", "std"):
            fields[key] = tuple(fields[key])
        if "learnt_from" in fields:
            fields["learnt_from"] = tuple(fields["learnt_from"])
        if fields.get("calibration") is not None:
            fields["calibration"] = Calibration.from_json(fields["calibration"])
        if fields.get("looks", 1) not in (1, 2):
            raise TypeError(f"looks is {fields['looks']!r}, not 1 or 2")
        return cls(**fields)


def write_calibration(spec: ModelSpec, calibration: Calibration, folder: Path) -> ModelSpec:
    """Write a model's sidecar anew with its calibration; returns the spec as written. The weights stay as they are."""
    written = replace(spec, calibration=calibration)
    (folder / f"{spec.file_stem}.json").write_text(written.to_json(), encoding="utf-8")
    return written


def read_spec(stem: str, folder: Path = WEIGHTS_FOLDER) -> ModelSpec:
    """Sidecar `<stem>.json` in `folder`; stem such as `unet-fast-1`."""
    return ModelSpec.from_json((folder / f"{stem}.json").read_text(encoding="utf-8"))
