"""CUDA graphs of a network: one launch for a whole forward pass."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_WARM_UPS = 3
"""Forwards before a recording, so that cuDNN has chosen and cuBLAS has its workspaces (PyTorch's notes on CUDA)."""


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    images: Tensor
    logits: Tensor


class RecordedForward:
    """Calls `module` by replaying what its first call of each microbatch size did.

    Recordings share one pool of memory: they never run side by side, and logits are copied before the next one. A
    microbatch that does not fit raises torch.OutOfMemoryError like the module's own call, and leaves no recording.
    No other thread may use the device during a call (`vision.segmenters.runtimes.pytorch` sees to it).
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._recordings: dict[int, _Recording] = {}
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(next(module.parameters()).device)  # type: ignore[no-untyped-call]

    def __call__(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) float32 on the device -> logits of the module, a tensor of their own."""
        recording = self._recordings.get(len(images))
        if recording is None:
            recording = self._recordings[len(images)] = self._record(images)
        recording.images.copy_(images)
        recording.graph.replay()
        return recording.logits.clone()

    def _record(self, images: Tensor) -> _Recording:
        images = images.clone()
        current = torch.cuda.current_stream(images.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UPS):
                self._module(images)
        current.wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                logits = self._module(images)
        except RuntimeError as error:
            # Where memory ends in mid-recording, ending the recording fails too, and hides why.
            if isinstance(error.__context__, torch.OutOfMemoryError):
                raise error.__context__ from None
            raise
        return _Recording(graph, images, logits)
