"""PyTorch, as it is, compiled or recorded, on the CPU or a CUDA device."""

import threading
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from vision.segmenters.base import SegmenterOutOfMemory
from vision.segmenters.runtimes.base import Batch, BatchLogits, RuntimeOptions

How: TypeAlias = Literal["eager", "compile", "graphs"]

ON_CUDA = threading.Lock()
"""Held while a thread uses a device: a model may be loaded and tried beside another's forward, and a recording is
broken by a synchronisation, or an emptied cache, of any thread."""


class TorchRuntime:
    """Float32 on the CPU, float16 autocast on CUDA. `network` moves to the device; `threads` is process-wide."""

    def __init__(self, network: nn.Module, options: RuntimeOptions, *, on_cuda: bool, how: How = "eager") -> None:
        if options.threads and not on_cuda:
            torch.set_num_threads(options.threads)
        self._device = torch.device(options.device if on_cuda else "cpu")
        self._layout = torch.channels_last if options.channels_last else torch.contiguous_format
        self._turn = ON_CUDA if on_cuda else nullcontext()
        with self._turn:
            module = network.eval().to(self._device).to(memory_format=self._layout)
            self._forward = _forward(module, how)
        self.name = "-".join(["torch", *([how] if how != "eager" else []), self._device.type])

    def run(self, batch: Batch) -> BatchLogits:
        """As the protocol."""
        with self._turn:
            try:
                return self._run(batch)
            except torch.OutOfMemoryError as error:
                # The frames of the failed forward hold its activations.
                traceback.clear_frames(error.__traceback__)
                torch.cuda.empty_cache()
                raise SegmenterOutOfMemory(f"no memory for a microbatch of {len(batch)}") from error

    def _run(self, batch: Batch) -> BatchLogits:
        # A recording would outlive the halved weights that autocast keeps; for one forward they save nothing.
        half = torch.autocast("cuda", torch.float16, enabled=self._device.type == "cuda", cache_enabled=False)
        with torch.inference_mode(), half:
            images = torch.from_numpy(batch).to(self._device)
            images = images.to(torch.float32, memory_format=self._layout)
            logits: BatchLogits = self._forward(images).float().cpu().numpy()
        return logits


def _forward(module: nn.Module, how: How) -> Callable[[Tensor], Tensor]:
    if how == "compile":
        # Only the microbatch varies, and PyTorch notices that at its second size. With `dynamic=True` height and width
        # would be unknowns too, and the algebra of their paddings did not end within minutes.
        return torch.compile(module)
    if how == "graphs":
        from vision.segmenters.runtimes.torch_graphs import RecordedForward  # noqa: PLC0415

        return RecordedForward(module)
    return module


def torch_runtime(name: str, network: nn.Module, options: RuntimeOptions) -> TorchRuntime:
    """By its name: `torch-cpu`, `torch-compile-cpu`, `torch-cuda`, `torch-compile-cuda` or `torch-graphs-cuda`."""
    how: How = "compile" if "compile" in name else "graphs" if "graphs" in name else "eager"
    return TorchRuntime(network, options, on_cuda=name.endswith("cuda"), how=how)
