"""Runtimes that compute the same network; one is chosen by its name.

PyTorch, OpenVINO and ONNX Runtime each take seconds to import, so each is imported where it is chosen.
"""

import ctypes
import sys

from vision.segmenters.runtimes.base import Batch, BatchLogits, MakeNetwork, Runtime, RuntimeOptions
from vision.segmenters.spec import ModelSpec

__all__ = ["RUNTIMES", "Batch", "BatchLogits", "MakeNetwork", "Runtime", "RuntimeOptions", "build_runtime"]

RUNTIMES = (
    "auto",
    "torch-cpu",
    "torch-compile-cpu",
    "torch-cuda",
    "torch-compile-cuda",
    "torch-graphs-cuda",
    "onnxruntime-cpu",
    "openvino-cpu",
)
"""Names that `build_runtime` takes.

`auto` is the quickest of CUDA's where there is a device, measured on it, else the fastest measured on CPUs.
"""

_CUDA_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def build_runtime(name: str, make: MakeNetwork, spec: ModelSpec, options: RuntimeOptions) -> Runtime:
    """Runtime by name, ready to run. ValueError for an unknown name.

    `make` builds the network, which the runtime may take over; it is not called where a converted one was kept.
    """
    if name == "auto" and has_cuda():
        from vision.segmenters.runtimes.cuda_auto import quickest_on_cuda  # noqa: PLC0415

        return quickest_on_cuda(make, spec, options)
    if name == "auto":
        name = "openvino-cpu"
    if name not in RUNTIMES:
        raise ValueError(f"unknown runtime {name!r}; known: {', '.join(RUNTIMES)}")
    if name == "openvino-cpu":
        from vision.segmenters.runtimes.openvino_cpu import OpenVinoRuntime  # noqa: PLC0415

        return OpenVinoRuntime(make, spec, options)
    if name == "onnxruntime-cpu":
        from vision.segmenters.runtimes.onnx_cpu import OnnxRuntime  # noqa: PLC0415

        return OnnxRuntime(make(), spec, options)
    from vision.segmenters.runtimes.pytorch import torch_runtime  # noqa: PLC0415

    return torch_runtime(name, make(), options)


def has_cuda() -> bool:
    """Whether there is a CUDA device.

    Where the driver's library is missing there is none, and PyTorch need not be loaded to learn that.
    """
    try:
        ctypes.CDLL(_CUDA_DRIVER)
    except OSError:
        return False
    import torch  # noqa: PLC0415

    return torch.cuda.is_available()
