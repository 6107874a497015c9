"""The network as a graph with a free batch size, which other runtimes are made from."""

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from vision.segmenters.spec import ModelSpec

MAX_BATCH = 4096


def export_network(network: nn.Module, spec: ModelSpec) -> ExportedProgram:
    """Program of `network` in evaluation mode: "images" (N, 3, H, W) float32 of the canvas's size -> logits."""
    example = torch.zeros(2, 3, *spec.canvas_hw)
    free = {"images": {0: Dim("batch", min=1, max=MAX_BATCH)}}
    return torch.export.export(network.eval(), (example,), dynamic_shapes=free)
