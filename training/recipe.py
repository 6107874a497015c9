"""A training run as data: one TOML file, read once."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from vision.segmenters.spec import ModelSpec


@dataclass(frozen=True)
class Phase:
    """A stretch of training at one canvas size. Rates go from `lr_start` to `lr_end` along half a cosine."""

    name: str
    canvas_px: int
    samples: int
    batch: int
    lr_start: float
    lr_end: float
    encoder_lr_share: float
    """Of the decoder's rate."""
    frozen_stages: int
    """First stages of the encoder (0 to 7) that keep their weights: those see the most pixels and cost the most."""
    shares: dict[str, float]
    """Share of each group of samples in what the network sees; groups are named in `training.prepare`."""


@dataclass(frozen=True)
class DataRecipe:
    """What the store is filled with."""

    licences: tuple[str, ...]
    long_side_px: int
    composites: int
    empties: int
    cutout_sources: tuple[str, ...]
    harvested_cutouts: int
    """Cut-outs taken from photos of scenes, whole objects only."""


@dataclass(frozen=True)
class Recipe:
    """A whole run."""

    seed: int
    threads: int
    ema_decay: float
    weight_decay: float
    checkpoint_every: int
    """Samples between checkpoints."""
    model: ModelSpec
    data: DataRecipe
    phases: tuple[Phase, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a TOML file. KeyError or TypeError names a missing or unknown field."""
        fields: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        model = fields.pop("model")
        for key in ("decoder_channels", "canvas_hw", "mean", "std"):
            model[key] = tuple(model[key])
        data = fields.pop("data")
        for key in ("licences", "cutout_sources"):
            data[key] = tuple(data[key])
        return cls(
            model=ModelSpec(**model, weights_sha256=""),
            data=DataRecipe(**data),
            phases=tuple(Phase(**phase) for phase in fields.pop("phase")),
            **fields,
        )

    @property
    def total_samples(self) -> int:
        """Samples the network sees over all phases."""
        return sum(phase.samples for phase in self.phases)
