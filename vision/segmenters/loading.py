"""A segmenter from a spec, whatever its weights are."""

from pathlib import Path

from vision.segmenters.onnx import OnnxSegmenter
from vision.segmenters.runtimes import RuntimeOptions
from vision.segmenters.spec import ModelSpec
from vision.segmenters.unet import UnetSegmenter


def load_segmenter(
    spec: ModelSpec, folder: Path, *, runtime: str, options: RuntimeOptions
) -> UnetSegmenter | OnnxSegmenter:
    """Weights of `spec` from `folder`. A graph that somebody brought runs on OpenVINO, whatever the runtime.

    WeightsError for wrong weights, OSError where they are not there.
    """
    if spec.is_onnx:
        return OnnxSegmenter.load(spec, folder=folder, options=options)
    return UnetSegmenter.load(spec, folder=folder, runtime=runtime, options=options)
