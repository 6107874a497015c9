"""An encoder whose batch norm learns no statistics, computed in fewer passes over memory.

While its statistics stand still, a batch norm is a factor and a shift per channel: both go into the convolution
before it, and their gradients with them. On a CPU training waits for memory more than
for arithmetic: `python -m benchmarks.training_speed` tells what this and half precision (bfloat16) are worth.
`torch.nn.utils.fusion` makes new parameters of the two, which no gradient would reach.
"""

import copy
from functools import partial
from typing import Any, cast

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

TOLERANCE = 1e-3
"""Largest difference of a feature, relative to the largest feature of its level; rounding gives about 1e-6."""
PROBE_PX = 192
"""No encoder of timm needs more."""


def fold_frozen_norms(encoder: nn.Module) -> int:
    """Let each batch norm that directly follows a convolution be computed by it; returns how many.

    Parameters, buffers and their names stay. The encoder must be in evaluation mode and stay in it. Not every encoder
    runs its modules in the order in which it lists them: where a trial on a copy gives other features, nothing is
    folded and 0 returned.
    """
    trial = copy.deepcopy(encoder)
    _unsettle(trial)
    probe = torch.rand(1, 3, PROBE_PX, PROBE_PX, generator=torch.Generator().manual_seed(0)) * 4 - 2
    before = _features(trial, probe)
    _fold(trial)
    if not all(_alike(old, new) for old, new in zip(before, _features(trial, probe), strict=True)):
        return 0
    return _fold(encoder)


def _fold(encoder: nn.Module) -> int:
    pairs = _pairs(encoder)
    for conv, norm in pairs:
        conv.forward = partial(_convolve, conv, norm)  # type: ignore[method-assign]
        norm.forward = partial(_activate, norm)  # type: ignore[method-assign]
    return len(pairs)


def _unsettle(encoder: nn.Module) -> None:
    """Give every batch norm something to do: a fresh one leaves images as they are, wherever it stands."""
    random = torch.Generator().manual_seed(1)
    for module in encoder.modules():
        if isinstance(module, _BatchNorm):
            state = module.state_dict()
            for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
                if name in state:
                    state[name].fill_(value).add_(torch.rand(state[name].shape, generator=random) * 0.2)


def _alike(old: Tensor, new: Tensor) -> bool:
    if not old.numel():  # a level that the encoder lacks
        return True
    return bool((old - new).abs().max() <= TOLERANCE * old.abs().max())


def _pairs(encoder: nn.Module) -> list[tuple[nn.Conv2d, _BatchNorm]]:
    pairs = []
    previous: nn.Conv2d | None = None
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            previous = module
        elif isinstance(module, _BatchNorm):
            if previous is not None and previous.out_channels == module.num_features:
                pairs.append((previous, module))
            previous = None
    return pairs


def _features(encoder: nn.Module, images: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return [each.float() for each in encoder(images)]


def _convolve(conv: Any, norm: Any, images: Tensor) -> Tensor:
    """Convolution and batch norm in one."""
    device = images.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else images.dtype
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    if conv.bias is not None:
        shift = shift + conv.bias * scale
    weight = conv.weight * scale[:, None, None, None]
    padding = conv.padding
    if isinstance(conv, Conv2dSame):  # pads by the size of its input
        images, padding = pad_same(images, list(conv.kernel_size), list(conv.stride), list(conv.dilation)), (0, 0)
    is_depthwise = conv.groups == conv.in_channels > 1
    run = _depthwise if is_depthwise and device == "cpu" and dtype is torch.bfloat16 else functional.conv2d
    return run(images.to(dtype), weight.to(dtype), shift.to(dtype), conv.stride, padding, conv.dilation, conv.groups)


def _activate(norm: Any, images: Tensor) -> Tensor:
    """What timm's norms do after normalising."""
    return norm.act(norm.drop(images)) if hasattr(norm, "act") else images


def _depthwise(*arguments: Any) -> Tensor:
    return cast("Tensor", _DepthwiseConv.apply(*arguments))


class _DepthwiseConv(torch.autograd.Function):
    """Backward in single precision: the CPU's kernels for half precision take up to six times as long there."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor, *shape: Any) -> Tensor:
        """`shape`: stride, padding, dilation and groups, as `conv2d` takes them."""
        ctx.save_for_backward(images, weight)
        ctx.shape = shape
        return functional.conv2d(images, weight, bias, *shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Gradients of images, weight and bias."""
        tensors = [gradient, *ctx.saved_tensors]
        stride, padding, dilation, groups = ctx.shape
        parts = torch.ops.aten.convolution_backward(
            *(each.float() for each in tensors),
            [groups],
            *(stride, padding, dilation, False, [0, 0], groups),
            ctx.needs_input_grad[:3],
        )
        return *(None if part is None else part.to(gradient.dtype) for part in parts), None, None, None, None
