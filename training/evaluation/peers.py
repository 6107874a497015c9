"""Other people's ONNX models, from files that the user has: nothing is fetched and nothing is shipped.

u2net and isnet run through the pre- and post-processing that rembg documents, for that is how people use them; any
other model is told by a small manifest.
"""

import hashlib
import json
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
import onnxruntime
import PIL
from numpy.typing import NDArray
from PIL import Image

from training.evaluation.candidates import CandidateError, Made, Title
from vision.arrays import Alpha, RgbImage
from vision.letterbox import Letterbox
from vision.numeric import sigmoid

Processing: TypeAlias = Literal["rembg", "letterbox"]
Output: TypeAlias = Literal["alpha", "logits"]


@dataclass(frozen=True)
class PeerManifest:
    """A peer. `canvas_px` is the side of its square input; mean and std are of pixels in [0, 1]."""

    name: str
    file: Path
    canvas_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    sha256: str = ""
    """Of the file; checked when given."""
    output: Output = "alpha"
    """What the model's first output holds; rembg's processing takes it as it is."""
    processing: Processing = "rembg"
    """`rembg`: squashed to the canvas, divided by its brightest value, the map stretched to its own range.
    `letterbox`: aspect kept, grey beside the photo, nothing stretched."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a TOML file; `file` is relative to it. CandidateError says what is wrong."""
        try:
            fields: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
            fields["file"] = path.parent / fields["file"]
            for key in ("mean", "std"):
                fields[key] = tuple(float(value) for value in fields[key])
            made = cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise CandidateError(f"{path} is not a peer's manifest: {error}") from error
        if made.processing not in get_args(Processing) or made.output not in get_args(Output):
            raise CandidateError(
                f"{path}: processing is one of {get_args(Processing)}, output one of {get_args(Output)}"
            )
        return made


_KNOWN: dict[str, tuple[int, tuple[float, float, float], tuple[float, float, float]]] = {
    "u2net": (320, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "isnet": (1024, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)),
}
"""Canvas, mean and std by rembg's sessions `u2net` and `isnet-general-use`."""


def parse_peer(text: str) -> PeerManifest:
    """`u2net=FILE`, `isnet=FILE` or the path of a manifest. CandidateError for anything else."""
    name, equals, file = text.partition("=")
    if not equals:
        path = Path(text)
        if path.suffix != ".toml" or not path.is_file():
            raise CandidateError(f"--peer takes NAME=FILE ({', '.join(_KNOWN)}) or a manifest (*.toml), not {text!r}.")
        return PeerManifest.read(path)
    if name not in _KNOWN:
        raise CandidateError(f"{name!r} is not known ({', '.join(_KNOWN)} are); describe it by a manifest (*.toml).")
    return PeerManifest(name, Path(file), *_KNOWN[name])


class OnnxPeer:
    """A peer on ONNX Runtime, as rembg runs it. CandidateError when the file is not there or is another one."""

    def __init__(self, manifest: PeerManifest, *, threads: int) -> None:
        if not manifest.file.is_file():
            raise CandidateError(f"There is no file {manifest.file} for the peer {manifest.name}.")
        with manifest.file.open("rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if manifest.sha256 not in {"", self.sha256}:
            raise CandidateError(f"{manifest.file} has sha256 {self.sha256}, its manifest says {manifest.sha256}")
        self.manifest = manifest
        self.titles = (Title(manifest.name, "peer", manifest.name, self.sha256),)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(manifest.file), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    @property
    def key(self) -> str:
        """Names everything but the photo that decides a matte: the file's content, how it is fed and by what."""
        parts = {
            **asdict(self.manifest),
            "file": "",
            "sha256": self.sha256,
            "onnxruntime": onnxruntime.__version__,
            "pillow": PIL.__version__,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def make(self, image: RgbImage) -> dict[str, Made]:
        """As the protocol."""
        alpha = self._as_rembg(image) if self.manifest.processing == "rembg" else self._letterboxed(image)
        return {self.manifest.name: Made(alpha)}

    def forward(self, image: RgbImage) -> Callable[[], object]:
        """As the protocol."""
        canvas = self._squashed(image)
        return lambda: self._run(canvas)

    def _as_rembg(self, image: RgbImage) -> Alpha:
        """Rembg's `predict`: Lanczos there and back, and the map stretched between its own least and greatest value."""
        made = self._run(self._squashed(image))
        low, high = float(made.min()), float(made.max())
        stretched = (made - low) / (high - low) if high > low else np.zeros_like(made)
        mask = Image.fromarray((stretched.clip(0, 1) * 255).astype(np.uint8))
        grown = mask.resize((image.shape[1], image.shape[0]), Image.Resampling.LANCZOS)
        return np.asarray(grown, np.float32) / np.float32(255)

    def _squashed(self, image: RgbImage) -> NDArray[np.float32]:
        side = self.manifest.canvas_px
        small = Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS)
        pixels = np.asarray(small, np.float32)
        return self._normalised(pixels / max(float(pixels.max()), 1e-6))

    def _letterboxed(self, image: RgbImage) -> Alpha:
        side = self.manifest.canvas_px
        box = Letterbox.fit((image.shape[0], image.shape[1]), (side, side))
        made = self._run(self._normalised(box.apply(image).astype(np.float32) / np.float32(255)))
        if self.manifest.output == "logits":
            return sigmoid(box.invert(made))
        return np.clip(box.invert(made), 0, 1)

    def _normalised(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """(h, w, 3) in [0, 1] -> (1, 3, h, w)."""
        mean, std = (np.array(values, np.float32) for values in (self.manifest.mean, self.manifest.std))
        centred = (pixels - mean) / std
        return np.ascontiguousarray(centred.transpose(2, 0, 1)[None], np.float32)

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(1, 3, h, w) -> (h, w)."""
        made = self._session.run([self._output], {self._input: batch})[0]
        return np.asarray(made, np.float32).reshape(batch.shape[2:])
