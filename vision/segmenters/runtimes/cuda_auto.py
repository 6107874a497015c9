"""The quickest way of PyTorch on the CUDA device at hand."""

import gc
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from vision.segmenters.runtimes.base import Batch, MakeNetwork, Runtime, RuntimeOptions
from vision.segmenters.runtimes.pytorch import ON_CUDA, torch_runtime
from vision.segmenters.runtimes.trials import Way, quickest
from vision.segmenters.spec import ModelSpec

_SCHEME = 1
"""Of the trials: another number makes kept choices void."""


def quickest_on_cuda(make: MakeNetwork, spec: ModelSpec, options: RuntimeOptions) -> Runtime:
    """Eager in the better layout, recorded as CUDA graphs or compiled: what was quickest at `options.microbatch`.

    The choice is kept in `options.cache_dir` for networks of the same shape. SegmenterOutOfMemory where not even one
    photo fits.
    """

    def build(way: Way) -> Runtime:
        return torch_runtime(way.runtime, make(), replace(options, channels_last=way.channels_last))

    chosen = quickest(build, _pictures(spec, options.microbatch), kept=_kept(spec, options))
    gc.collect()
    with ON_CUDA:
        torch.cuda.empty_cache()
    return chosen


def _pictures(spec: ModelSpec, count: int) -> Batch:
    """Soft noise: the agreement of two ways is looked at where logits are neither all high nor all low."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 3, 8, 8), np.uint8)
    height, width = spec.canvas_hw
    return np.ascontiguousarray(coarse.repeat(-(-height // 8), 2).repeat(-(-width // 8), 3)[:, :, :height, :width])


def _kept(spec: ModelSpec, options: RuntimeOptions) -> Path | None:
    if options.cache_dir is None:
        return None
    decides = [
        _SCHEME,
        *(spec.architecture, spec.encoder, spec.decoder_channels, spec.canvas_hw, options.microbatch),
        *(torch.cuda.get_device_name(options.device), torch.__version__, torch.version.cuda),
    ]
    digest = hashlib.sha256(json.dumps(decides).encode()).hexdigest()
    return options.cache_dir / f"quickest-{digest[:16]}.json"
