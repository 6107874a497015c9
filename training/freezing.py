"""Which parts of a network learn."""

from typing import Any, Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vision.segmenters.network import SegmentationNetwork

LEVELS = 5


def freeze_levels(network: SegmentationNetwork, count: int) -> None:
    """Keep the weights of the encoder's first `count` levels, 0 to 5; the others learn.

    Level n ends where the canvas has been halved n times. Works for every `tu-` encoder:
    timm names the module that ends each level, and modules come in running order.
    """
    encoder = network.backbone
    levels: Any = encoder.feature_info
    encoder.requires_grad_(True)
    within = [name for name, shrink in zip(levels.module_name(), levels.reduction(), strict=True) if shrink <= 2**count]
    if within:
        last = within[-1]
        for module in _running_order_until(encoder, {last, last.replace(".", "_")}):
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
    if count == LEVELS:
        encoder.requires_grad_(False)


def set_modes(network: SegmentationNetwork, batchnorm: Literal["train", "frozen-encoder", "frozen"]) -> None:
    """Training mode, in which the batch norm that the recipe names keeps its statistics."""
    network.train()
    if batchnorm == "frozen-encoder":
        network.encoder.eval()
    elif batchnorm == "frozen":
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def _running_order_until(encoder: nn.Module, last: set[str]) -> list[nn.Module]:
    """Modules up to the end of the one with one of these names, or all modules when there is none."""
    found: list[nn.Module] = []
    inside = ""
    for name, module in encoder.named_modules():
        if inside and not name.startswith(f"{inside}."):
            break
        found.append(module)
        inside = name if name in last else inside
    return found
