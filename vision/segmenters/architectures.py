"""Networks by name: those of segmentation-models-pytorch, an FCN and a boundary-aware U-Net."""

from collections.abc import Callable, Mapping

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional

from vision.segmenters.spec import ModelSpec

LEVELS = 5
"""How often an encoder halves the canvas."""


class Fcn(nn.Module):
    """FCN-8s on any encoder: scores of strides 32, 16 and 8, added up from coarse to fine (Long et al. 2015)."""

    def __init__(self, encoder: nn.Module, channels: tuple[int, ...], hidden: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = nn.Sequential(
            nn.Conv2d(channels[-1], hidden, 3, padding=1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True)
        )
        self.segmentation_head = nn.ModuleList([nn.Conv2d(count, 1, 1) for count in (hidden, *channels[-2:-4:-1])])

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) normalised -> (N, 1, H, W) logits."""
        *_, eighth, sixteenth, last = self.encoder(images)
        coarse, middle, fine = self.segmentation_head
        score: Tensor = coarse(self.decoder(last))
        score = middle(sixteenth) + _resized(score, sixteenth.shape[2:])
        score = fine(eighth) + _resized(score, eighth.shape[2:])
        return _resized(score, images.shape[2:])


class EdgeHead(nn.Module):
    """Two views of the product, its body and its rim with all thin parts, and the map that unites them.

    After UDUN (Pei et al. 2023), with one decoder for both. The rim also sees the photo itself, at full resolution.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(channels, 1, 3, padding=1)
        self.detail = nn.Sequential(
            nn.Conv2d(channels + 3, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.rim = nn.Conv2d(channels, 1, 3, padding=1)
        self.union = nn.Conv2d(2 * channels + 2, 1, 3, padding=1)

    def forward(self, features: Tensor, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (N, C, H, W), images (N, 3, H, W) -> logits of product, body and rim, (N, 1, H, W) each."""
        detail = self.detail(torch.cat([features, images], dim=1))
        body, rim = self.body(features), self.rim(detail)
        return self.union(torch.cat([features, detail, body, rim], dim=1)), body, rim


class EdgeUnet(nn.Module):
    """A slim U-Net whose head learns body and rim apart."""

    def __init__(self, unet: smp.Unet, channels: int) -> None:
        super().__init__()
        self.encoder, self.decoder = unet.encoder, unet.decoder
        self.segmentation_head = EdgeHead(channels)

    def parts(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, H, W) normalised -> logits of product, body and rim, (N, 1, H, W) each."""
        parts: tuple[Tensor, Tensor, Tensor] = self.segmentation_head(self.decoder(self.encoder(images)), images)
        return parts

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) normalised -> (N, 1, H, W) logits."""
        return self.parts(images)[0]


def build_architecture(spec: ModelSpec) -> nn.Module:
    """The network of `spec.architecture` with fresh random weights, without normalisation.

    ValueError for an unknown architecture, or one that cannot have these decoder channels.
    """
    if spec.architecture not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {spec.architecture!r}; known: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[spec.architecture](spec)


def _unet_like(kind: Callable[..., nn.Module]) -> Callable[[ModelSpec], nn.Module]:
    def build(spec: ModelSpec) -> nn.Module:
        return kind(
            spec.encoder,
            encoder_depth=len(spec.decoder_channels),
            encoder_weights=None,
            decoder_channels=spec.decoder_channels,
            classes=1,
        )

    return build


def _fpn(spec: ModelSpec) -> nn.Module:
    pyramid, segmentation = _channels(spec, 2)
    network: nn.Module = smp.FPN(
        spec.encoder,
        encoder_weights=None,
        decoder_pyramid_channels=pyramid,
        decoder_segmentation_channels=segmentation,
        classes=1,
    )
    return network


def _deeplab(spec: ModelSpec) -> nn.Module:
    (channels,) = _channels(spec, 1)
    network: nn.Module = smp.DeepLabV3Plus(spec.encoder, encoder_weights=None, decoder_channels=channels, classes=1)
    return network


def _fcn(spec: ModelSpec) -> nn.Module:
    (hidden,) = _channels(spec, 1)
    encoder = smp.encoders.get_encoder(spec.encoder, depth=LEVELS, weights=None)
    return Fcn(encoder, tuple(encoder.out_channels), hidden)


def _edge_unet(spec: ModelSpec) -> nn.Module:
    return EdgeUnet(_unet_like(smp.Unet)(spec), spec.decoder_channels[-1])


def _channels(spec: ModelSpec, count: int) -> tuple[int, ...]:
    if len(spec.decoder_channels) != count:
        raise ValueError(f"{spec.architecture} takes {count} decoder channels, not {len(spec.decoder_channels)}")
    return spec.decoder_channels


def _resized(score: Tensor, hw: torch.Size) -> Tensor:
    return functional.interpolate(score, size=hw, mode="bilinear", align_corners=False)


ARCHITECTURES: Mapping[str, Callable[[ModelSpec], nn.Module]] = {
    "smp-unet": _unet_like(smp.Unet),
    "smp-unetplusplus": _unet_like(smp.UnetPlusPlus),
    "smp-manet": _unet_like(smp.MAnet),
    "smp-fpn": _fpn,
    "smp-deeplabv3plus": _deeplab,
    "fcn": _fcn,
    "unet-edges": _edge_unet,
}
"""How each architecture is built; `decoder_channels` are its decoder's widths, from coarse to fine."""
