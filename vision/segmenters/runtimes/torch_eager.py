"""PyTorch, as it is or compiled, on the CPU or a CUDA device."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vision.segmenters.base import SegmenterOutOfMemory
from vision.segmenters.runtimes.base import Batch, BatchLogits, RuntimeOptions


class TorchRuntime:
    """Float32 on the CPU, float16 autocast on CUDA. `network` moves to the device; `threads` is process-wide."""

    def __init__(self, network: nn.Module, options: RuntimeOptions, *, on_cuda: bool, compiled: bool) -> None:
        if options.threads and not on_cuda:
            torch.set_num_threads(options.threads)
        self._device = torch.device(options.device if on_cuda else "cpu")
        self._layout = torch.channels_last if options.channels_last else torch.contiguous_format
        module = network.eval().to(self._device).to(memory_format=self._layout)
        # Only the microbatch varies, and PyTorch notices that at its second size. With `dynamic=True` height and width
        # would be unknowns too, and the algebra of their paddings did not end within minutes.
        self._forward: Callable[[Tensor], Tensor] = torch.compile(module) if compiled else module
        self.name = f"torch{'-compile' if compiled else ''}-{self._device.type}"

    def run(self, batch: Batch) -> BatchLogits:
        """As the protocol."""
        on_cuda = self._device.type == "cuda"
        try:
            with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=on_cuda):
                images = torch.from_numpy(batch).to(self._device)
                images = images.to(torch.float32, memory_format=self._layout)
                logits: BatchLogits = self._forward(images).float().cpu().numpy()
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise SegmenterOutOfMemory(f"no memory for a microbatch of {len(batch)}") from error
        return logits
