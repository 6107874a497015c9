"""Models that somebody brought as an ONNX graph: U2-Net, IS-Net, BiRefNet and the like."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import openvino
from numpy.typing import NDArray

from vision.arrays import Alpha, Canvas, Logits, RgbImage
from vision.calibration import Calibration
from vision.letterbox import Letterbox
from vision.segmenters.checksum import WeightsError, checked_weights
from vision.segmenters.graph import as_map, fit_graph, require_plausible
from vision.segmenters.looks import Prepared, segment_unrefined
from vision.segmenters.runtimes import RuntimeOptions
from vision.segmenters.spec import ModelSpec

_SURE = 1e-4
"""Alphas this near to 0 or 1 become logits as if they were so near: beyond it all is equally sure."""


class OnnxSegmenter:
    """In the same stages as `UnetSegmenter`. Photos go one at a time: most such graphs have a batch of one built in.

    The graph's output is taken by a fixed curve: nothing is stretched to a photo's own range, so that an empty photo
    stays empty.
    """

    runtime = "openvino-cpu"

    def __init__(self, spec: ModelSpec, request: openvino.InferRequest, output: int) -> None:
        self.spec = spec
        self._request = request
        self._output = output
        self._mean, self._std = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (spec.mean, spec.std))

    @classmethod
    def load(cls, spec: ModelSpec, *, folder: Path, options: RuntimeOptions | None = None) -> Self:
        """The graph of `spec` from `folder`. WeightsError when it is another file, or does not fit the spec."""
        options = options or RuntimeOptions()
        path = checked_weights(spec, folder)
        config: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if options.threads:
            config["INFERENCE_NUM_THREADS"] = options.threads
        core = openvino.Core()
        try:
            model, output = fit_graph(core.read_model(path), spec)
            request = core.compile_model(model, "CPU", config).create_infer_request()
        except RuntimeError as error:  # what OpenVINO raises for any graph that it can't take
            reason = str(error).strip().splitlines()[-1]
            raise WeightsError(f"{path.name} does not run on a canvas of {spec.canvas_hw}: {reason}") from error
        made = cls(spec, request, output)
        made.warm_up([1])
        return made

    @property
    def version(self) -> str:
        """Model id, such as `u2net@1`."""
        return self.spec.model_id

    @property
    def calibration(self) -> Calibration | None:
        """What its confidence is worth; None until it was measured."""
        return self.spec.calibration

    @property
    def looks(self) -> int:
        """1 or 2, see `vision.segmenters.looks`."""
        return self.spec.looks

    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        """Run an empty canvas. WeightsError when the graph's output is no map of the canvas."""
        del batch_sizes  # photos go one at a time
        self.predict([np.zeros((*self.spec.canvas_hw, 3), np.uint8)])

    def try_out(self) -> None:
        """Look at its values on black, white and noise. WeightsError where they are not what the spec says."""
        shape = (*self.spec.canvas_hw, 3)
        noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        canvases = (np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), noise)
        require_plausible(np.stack([self._raw(canvas) for canvas in canvases]), self.spec)

    def prepare(self, image: RgbImage) -> Prepared:
        """(H, W, 3) uint8 -> its canvas and geometry."""
        hw = (image.shape[0], image.shape[1])
        canvas_hw = self.spec.canvas_hw
        squashed = Letterbox(hw, canvas_hw, (0, 0), canvas_hw)
        box = squashed if self.spec.fit == "squash" else Letterbox.fit(hw, canvas_hw)
        return Prepared(box.apply(image), box)

    def predict(self, canvases: Sequence[Canvas]) -> list[Logits]:
        """Canvases of `spec.canvas_hw` -> logits of the same size, same order."""
        return [self._run(canvas) for canvas in canvases]

    def segment(self, images: Sequence[RgbImage]) -> list[Alpha]:
        """As the protocol: alphas at the photos' sizes, not refined."""
        return segment_unrefined(self, images)

    def _run(self, canvas: Canvas) -> Logits:
        return self._as_logits(self._raw(canvas))

    def _raw(self, canvas: Canvas) -> NDArray[np.float32]:
        """(h, w) as the graph gives it."""
        pixels = canvas.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        found = self._request.infer([(pixels - self._mean) / self._std])[self._output]
        return as_map(np.array(found, np.float32), self.spec)

    def _as_logits(self, found: NDArray[np.float32]) -> Logits:
        if self.spec.output == "logits":
            return found
        clipped = np.clip(found, np.float32(_SURE), np.float32(1 - _SURE))
        logits: Logits = np.log(clipped / (1 - clipped))
        return logits
