"""What is measured side by side: a model of ours, alone and as the whole product, and peers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from vision.arrays import Alpha, RgbImage
from vision.cutout import make_cutout, prepare_subject
from vision.letterbox import resize
from vision.numeric import sigmoid
from vision.qc import Facts
from vision.segmenters.loading import load_segmenter
from vision.segmenters.looks import looked_at
from vision.segmenters.onnx import OnnxSegmenter
from vision.segmenters.runtimes import RuntimeOptions
from vision.segmenters.spec import WEIGHTS_FOLDER, ModelSpec
from vision.segmenters.unet import UnetSegmenter

Kind: TypeAlias = Literal["network", "product", "peer"]

NETWORK, PRODUCT = "network", "product"


class CandidateError(Exception):
    """A model or a peer is not what was asked for; the message says what helps."""


@dataclass(frozen=True)
class Made:
    """A matte, with the colours that are delivered with it, if any, and what the quality check measured."""

    alpha: Alpha
    foreground: RgbImage | None = None
    facts: Facts | None = None


@dataclass(frozen=True)
class Title:
    """One column of the comparison. `name` is unique in a run."""

    name: str
    kind: Kind
    model: str
    sha256: str


class Candidate(Protocol):
    """Something that makes mattes."""

    @property
    def titles(self) -> tuple[Title, ...]:
        """The columns that it fills."""

    def make(self, image: RgbImage) -> dict[str, Made]:
        """A matte for each title's name, at the photo's own size."""

    def forward(self, image: RgbImage) -> Callable[[], object]:
        """The bare forward pass on a photo that is already prepared, to be timed."""


class OwnModel:
    """Looked at once for two columns: the network alone (logits upsampled), and the product (refined, as delivered)."""

    def __init__(self, segmenter: UnetSegmenter | OnnxSegmenter, *, prefix: str = "") -> None:
        self.segmenter = segmenter
        spec = segmenter.spec
        self._network, self._product = f"{prefix}{NETWORK}", f"{prefix}{PRODUCT}"
        self.titles = (
            Title(self._network, "network", spec.model_id, spec.weights_sha256),
            Title(self._product, "product", spec.model_id, spec.weights_sha256),
        )

    def make(self, image: RgbImage) -> dict[str, Made]:
        """As the protocol."""
        [logits] = looked_at(self.segmenter, [(image, self.segmenter.prepare(image))])
        made = make_cutout(prepare_subject(image, None), logits)
        return {
            self._network: Made(sigmoid(resize(logits, (image.shape[0], image.shape[1])))),
            self._product: Made(made.alpha, made.foreground, made.facts),
        }

    def forward(self, image: RgbImage) -> Callable[[], object]:
        """As the protocol."""
        canvas = self.segmenter.prepare(image).canvas
        return lambda: self.segmenter.predict([canvas])


@dataclass(frozen=True)
class Found:
    """A model and where its weights lie."""

    spec: ModelSpec
    folder: Path
    is_released: bool = False
    """Whether jobs can name it, from the package or the registry: such a version never changes."""

    @property
    def sidecar(self) -> Path:
        """The JSON file beside the weights."""
        return self.folder / f"{self.spec.file_stem}.json"

    def load(self, *, runtime: str, threads: int) -> UnetSegmenter | OnnxSegmenter:
        """On a runtime by its name. WeightsError for weights that do not fit the sidecar."""
        options = RuntimeOptions(threads=threads, microbatch=1)
        return load_segmenter(self.spec, self.folder, runtime=runtime, options=options)


def read_sidecar(path: Path) -> Found:
    """A model by the path of its sidecar. CandidateError when there is none."""
    if not path.is_file():
        raise CandidateError(f"There is no sidecar {path}.")
    try:
        spec = ModelSpec.from_json(path.read_text(encoding="utf-8"))
    except (KeyError, TypeError, ValueError) as error:
        raise CandidateError(f"{path} is no sidecar of a model: {error}") from error
    return Found(spec, path.parent, is_released=path.parent.resolve() == WEIGHTS_FOLDER.resolve())
