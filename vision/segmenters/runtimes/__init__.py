"""Runtimes that compute the same network; one is chosen by its name."""

import torch
from torch import nn

from vision.segmenters.runtimes.base import Batch, BatchLogits, Runtime, RuntimeOptions
from vision.segmenters.runtimes.torch_eager import TorchRuntime
from vision.segmenters.spec import ModelSpec

__all__ = ["RUNTIMES", "Batch", "BatchLogits", "Runtime", "RuntimeOptions", "build_runtime"]

RUNTIMES = (
    "auto",
    "torch-cpu",
    "torch-compile-cpu",
    "torch-cuda",
    "torch-compile-cuda",
    "onnxruntime-cpu",
    "openvino-cpu",
)
"""Names that `build_runtime` takes. `auto` is CUDA where there is a device, else the fastest measured on CPUs."""


def build_runtime(name: str, network: nn.Module, spec: ModelSpec, options: RuntimeOptions) -> Runtime:
    """Runtime by name, ready to run. ValueError for an unknown name. It may take over `network`."""
    if name == "auto":
        name = "torch-cuda" if torch.cuda.is_available() else "openvino-cpu"
    if name not in RUNTIMES:
        raise ValueError(f"unknown runtime {name!r}; known: {', '.join(RUNTIMES)}")
    # Imported where chosen: each of the two takes long to load, and onnxruntime need not be installed.
    if name == "openvino-cpu":
        from vision.segmenters.runtimes.openvino_cpu import OpenVinoRuntime  # noqa: PLC0415

        return OpenVinoRuntime(network, spec, options)
    if name == "onnxruntime-cpu":
        from vision.segmenters.runtimes.onnx_cpu import OnnxRuntime  # noqa: PLC0415

        return OnnxRuntime(network, spec, options)
    return TorchRuntime(network, options, on_cuda=name.endswith("cuda"), compiled="compile" in name)
