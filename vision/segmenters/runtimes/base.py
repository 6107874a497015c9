"""What every runtime offers, and what it can be told."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

MakeNetwork: TypeAlias = "Callable[[], nn.Module]"
"""Builds the network with its weights, in evaluation mode."""
Batch: TypeAlias = NDArray[np.uint8]
"""(N, 3, H, W) uint8 RGB."""
BatchLogits: TypeAlias = NDArray[np.float32]
"""(N, 1, H, W) float32."""


@dataclass(frozen=True)
class RuntimeOptions:
    """Settings that every runtime understands."""

    threads: int = 0
    """CPU threads of one forward; 0 leaves it to the runtime: all cores."""
    cache_dir: Path | None = None
    """Where converted models, named by the weights' sha256, and the choice of a way are kept; None keeps none."""
    channels_last: bool = True
    """Layout of tensors in PyTorch: measured faster than the other one on CPUs; `auto` measures it on CUDA."""
    device: str = "cuda"
    """CUDA device of the runtimes that use one."""
    microbatch: int = 8
    """Photos of the microbatch at which `auto` measures."""


class Runtime(Protocol):
    """Computes a network. One thread at a time calls `run`."""

    @property
    def name(self) -> str:
        """Recorded with results, such as `openvino-cpu`."""

    def run(self, batch: Batch) -> BatchLogits:
        """(N, 3, H, W) uint8, any N -> (N, 1, H, W) float32 logits. SegmenterOutOfMemory on a full device."""
