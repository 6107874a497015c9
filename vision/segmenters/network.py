"""The network itself, and its weights on disk."""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vision.segmenters.architectures import EdgeUnet, build_architecture
from vision.segmenters.checksum import WeightsError, checked_weights, file_sha256
from vision.segmenters.spec import WEIGHTS_FOLDER, ModelSpec

_PREFIX = "unet."
STRIDE_PX = 32
"""Canvas sides must be multiples of it: the encoder halves five times."""


class SegmentationNetwork(nn.Module):
    """A network that owns its normalisation, so that no caller can feed it wrongly.

    `unet` is of any architecture and has an `encoder`; the tensors of weights on disk are named after it.
    """

    unet: nn.Module
    mean: Tensor
    std: Tensor

    def __init__(self, unet: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.unet = unet
        # Buffers outside the state dict: they come from the sidecar, one place only.
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) float32 RGB in [0, 255], H and W multiples of 32 -> (N, 1, H, W) logits."""
        logits: Tensor = self.unet((images - self.mean) / self.std)
        return logits

    def parts(self, images: Tensor) -> tuple[Tensor, ...]:
        """As `forward`, followed by what only training looks at: logits of body and rim where there are any."""
        normalised = (images - self.mean) / self.std
        return self.unet.parts(normalised) if isinstance(self.unet, EdgeUnet) else (self.unet(normalised),)

    @property
    def encoder(self) -> nn.Module:
        """The part that starts from ImageNet's weights."""
        encoder = self.unet.encoder
        if not isinstance(encoder, nn.Module):
            raise TypeError(f"{type(self.unet).__name__} has no encoder")
        return encoder

    @property
    def backbone(self) -> nn.Module:
        """The timm model inside a `tu-` encoder."""
        backbone = self.encoder.model
        if not isinstance(backbone, nn.Module):
            raise TypeError(f"{type(self.encoder).__name__} is no encoder of timm")
        return backbone


def build_network(spec: ModelSpec) -> SegmentationNetwork:
    """Network with fresh random weights, in training mode. ValueError for what cannot be built."""
    if any(side % STRIDE_PX for side in spec.canvas_hw):
        raise ValueError(f"canvas {spec.canvas_hw} is not a multiple of {STRIDE_PX}")
    return SegmentationNetwork(build_architecture(spec), spec.mean, spec.std)


def save_network(network: SegmentationNetwork, spec: ModelSpec, folder: Path) -> ModelSpec:
    """Write weights in half precision and their sidecar to `folder`; returns the spec with its checksum."""
    folder.mkdir(parents=True, exist_ok=True)
    weights_file = folder / f"{spec.file_stem}.safetensors"
    save_file({key: _half(value) for key, value in network.state_dict().items()}, weights_file)
    saved = replace(spec, weights_sha256=file_sha256(weights_file))
    (folder / f"{spec.file_stem}.json").write_text(saved.to_json(), encoding="utf-8")
    return saved


def load_network(spec: ModelSpec, folder: Path = WEIGHTS_FOLDER) -> SegmentationNetwork:
    """Network of `spec` with its weights from `folder`, float32, in evaluation mode, on the CPU.

    WeightsError when the file's sha256 is not the sidecar's, or tensors do not match the architecture.
    """
    weights_file = checked_weights(spec, folder)
    try:
        network, state = build_network(spec), load_file(weights_file)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{weights_file.name}: {error}") from error
    if not any(key.startswith(_PREFIX) for key in state):  # as segmentation-models-pytorch itself saves them
        state = {_PREFIX + key: value for key, value in state.items()}
    expected = network.state_dict()
    if odd := sorted(state.keys() ^ expected.keys()):
        raise WeightsError(f"{weights_file.name}: {len(odd)} tensors missing or left over, such as {odd[0]}")
    for key, value in expected.items():
        if state[key].shape != value.shape:
            shapes = f"{list(state[key].shape)} in the file, {list(value.shape)} in {spec.architecture}"
            raise WeightsError(f"{weights_file.name}: {key} is {shapes}")
    # Half precision is for the disk: batch-norm variances and sums want float32.
    network.load_state_dict({key: value.to(expected[key].dtype) for key, value in state.items()})
    return network.eval()


def _half(tensor: Tensor) -> Tensor:
    return (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
