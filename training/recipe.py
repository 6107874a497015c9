"""A training run as data: one TOML file, read once."""

import tomllib
from dataclasses import field, fields
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import PositiveFloat, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from training.manifest import LICENCE_CLASSES, LicenceClass
from training.scene_mix import TABLE, SceneMix
from vision.segmenters.spec import ModelSpec

FOUND_OUT = {"weights_sha256", "calibration", "learnt_from"}
"""Fields of a model that no recipe can know."""


class RecipeError(Exception):
    """A recipe that cannot be run; the message names the table and the field."""


@dataclass(frozen=True, config=TABLE)
class Phase:
    """A stretch of training at one canvas size. Rates go from `lr_start` to `lr_end`."""

    name: str
    canvas_px: int
    samples: PositiveInt
    """Rounded up to whole epochs."""
    batch: PositiveInt
    """Over all processes together."""
    lr_start: PositiveFloat
    lr_end: PositiveFloat
    shares: dict[str, float]
    """Share of each group in what the network sees: a source of photos, `photos` (all others), `composite`, `empty`."""
    encoder_lr_share: float = 0.3
    """Of the decoder's rate."""
    frozen_levels: int = 0
    """First levels of the encoder (0 to 5) that keep their weights: those see the most pixels and cost the most."""
    augment: bool = True


@dataclass(frozen=True, config=TABLE)
class DataRecipe:
    """What a run learns from."""

    long_side_px: PositiveInt
    """Photos are kept at most this long."""
    licences: tuple[LicenceClass, ...] = LICENCE_CLASSES
    cutout_sources: tuple[str, ...] = ()
    cutout_side_px: int = 480
    harvested_cutouts: int = 0
    """Cut-outs taken from photos of scenes, whole objects only."""
    cached_scenes: int = 0
    """Composites drawn once and kept on disk; 0 draws each on the fly and shows none twice."""
    min_confidence: float = 0.8
    """Of pseudo-labels that nobody looked at."""
    validation_split: str = "dev"
    """`train` holds photos out of the training split."""
    validation_photos: int = 0
    validation_without: tuple[str, ...] = ()
    """Sources whose photos choose no weights, such as those whose truth is a method's own answer."""


@dataclass(frozen=True, config=TABLE)
class LossWeights:
    """Weight of each term of the loss, see `training.losses`."""

    bce: float = 1.0
    dice: float = 1.0
    iou: float = 0.0
    ssim: float = 0.0
    boundary: float = 0.0
    alpha: float = 0.0
    parts: float = 0.0
    """Of body and rim, for architectures that tell them apart."""
    edge_gain: float = 2.0
    """How much more the cross-entropy counts within 3 px of the edge."""


@dataclass(frozen=True, config=TABLE)
class Recipe:
    """A whole run."""

    seed: int
    model: ModelSpec
    data: DataRecipe
    phases: tuple[Phase, ...]
    loss: LossWeights = field(default_factory=LossWeights)
    scenes: SceneMix = field(default_factory=SceneMix)
    epoch_samples: PositiveInt = 400
    """Between two checkpoints, validations and points of the curves."""
    threads: int = 0
    """Of torch; 0 leaves it to torch."""
    loader_workers: int = 1
    encoder_weights: Literal["imagenet", "none"] = "imagenet"
    batchnorm: Literal["train", "frozen-encoder", "frozen"] = "frozen-encoder"
    """Small batches spoil the encoder's statistics; `frozen` keeps the decoder's too."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = 1e-4
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warm_up_samples: int = 400
    """At the start of each phase."""
    ema_decay: float = 0.997
    gradient_clip: float = 2.0
    """Largest norm of all gradients together; 0 clips nothing."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    patience: int = 0
    """Epochs without a better validation IoU that end the last phase; 0 never stops early."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a TOML file. RecipeError names a missing or unknown field, or a value that does not fit."""
        try:
            raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
            raw["phases"] = raw.pop("phase", [])
            raw["model"] = raw.get("model", {})
            if odd := raw["model"].keys() - ({each.name for each in fields(ModelSpec)} - FOUND_OUT):
                raise RecipeError(f"{path}: model: unknown {', '.join(sorted(odd))}")
            raw["model"]["weights_sha256"] = ""
            recipe = TypeAdapter(cls).validate_python(raw)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{path}: {error}") from error
        except ValidationError as error:
            problems = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()]
            raise RecipeError(f"{path}: " + "; ".join(problems)) from error
        recipe.check()
        return recipe

    def check(self) -> None:
        """RecipeError for what would fail hours later."""
        names = [phase.name for phase in self.phases]
        if not names or len(set(names)) < len(names):
            raise RecipeError("a recipe has at least one [[phase]], each with a name of its own")
        for phase in self.phases:
            if phase.canvas_px % 32 or phase.canvas_px < 32:  # noqa: PLR2004
                raise RecipeError(f"phase {phase.name}: canvas_px {phase.canvas_px} is no multiple of 32")
            if phase.batch > self.epoch_samples:
                raise RecipeError(f"phase {phase.name}: batch {phase.batch} exceeds epoch_samples {self.epoch_samples}")
            if not phase.shares or min(phase.shares.values()) < 0 or sum(phase.shares.values()) <= 0:
                raise RecipeError(f"phase {phase.name}: shares name groups with positive numbers")
        if self.patience and not self.data.validation_photos:
            raise RecipeError("patience needs validation_photos")

    def epochs(self, phase: Phase) -> int:
        """Epochs of a phase."""
        return -(-phase.samples // self.epoch_samples)

    def steps_per_epoch(self, phase: Phase) -> int:
        """Optimizer steps of one epoch."""
        return self.epoch_samples // phase.batch

    def groups(self) -> set[str]:
        """Names of all groups that a phase shows."""
        return {name for phase in self.phases for name, share in phase.shares.items() if share}
