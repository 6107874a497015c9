"""Batch norm inside the convolution: the same numbers, the same gradients, the same names on disk."""

import copy

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from torch import Tensor, nn

from training.folding import fold_frozen_norms

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 4 - 2

IMAGES_192 = torch.rand(1, 3, 192, 192, generator=torch.Generator().manual_seed(2))


def encoder(name: str = "tf_efficientnet_lite0") -> nn.Module:
    """An encoder whose batch norms are not the identity."""
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, features_only=True)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for statistic, values in (("running_mean", (0.0, 0.1)), ("running_var", (1.0, 0.1))):
                module.get_buffer(statistic).normal_(*values)
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, 0, 0.1)
    return model.eval()


def gradients(model: nn.Module, *, half: bool = False) -> dict[str, Tensor | None]:
    """Of a number that depends on every feature."""
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        features = model(IMAGES)
    sum(each.float().square().mean() for each in features).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18"])
def test_features_and_gradients_stay(name: str) -> None:
    plain = encoder(name)
    folded = copy.deepcopy(plain)
    assert fold_frozen_norms(folded) == sum(isinstance(each, nn.BatchNorm2d) for each in plain.modules())
    assert folded.state_dict().keys() == plain.state_dict().keys()
    for ours, theirs in zip(folded(IMAGES), plain(IMAGES), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    expected, found = named(gradients(plain)), named(gradients(folded))
    assert found.keys() == expected.keys()
    for key, gradient in found.items():
        torch.testing.assert_close(gradient, expected[key], rtol=1e-2, atol=1e-3 * float(expected[key].abs().max()))


def named(found: dict[str, Tensor | None]) -> dict[str, Tensor]:
    return {name: gradient for name, gradient in found.items() if gradient is not None}


def test_half_precision_reaches_every_weight() -> None:
    folded = encoder()
    fold_frozen_norms(folded)
    exact, found = named(gradients(copy.deepcopy(folded))), named(gradients(folded, half=True))
    assert found.keys() == dict(folded.named_parameters()).keys()
    for name, gradient in found.items():
        cosine = torch.cosine_similarity(gradient.flatten(), exact[name].flatten(), 0)
        assert cosine > 0.9, f"{name}: {cosine}"


def test_frozen_weights_get_no_gradient() -> None:
    folded = encoder()
    folded.requires_grad_(False)
    folded.get_submodule("blocks.6").requires_grad_(True)
    fold_frozen_norms(folded)
    found = named(gradients(folded, half=True))
    assert found
    assert all(name.startswith("blocks.6") for name in found)


@pytest.mark.parametrize("name", ["convnext_atto", "resnetv2_18", "densenet121", "ghostnet_100", "inception_v4"])
def test_an_encoder_that_cannot_be_folded_stays_as_it_was(name: str) -> None:
    """No norms at all, norms before convolutions, norms of joined maps, halves that skip a norm, large windows."""
    torch.manual_seed(0)
    plain = smp.encoders.get_encoder(f"tu-{name}", weights=None).eval()
    folded = copy.deepcopy(plain)
    count = fold_frozen_norms(folded)
    assert bool(count) == (name == "inception_v4")
    for ours, theirs in zip(folded(IMAGES_192), plain(IMAGES_192), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
