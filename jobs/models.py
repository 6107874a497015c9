"""The models that jobs can name: those whose sidecars stand in the package. Reads JSON only, no weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vision.segmenters.spec import WEIGHTS_FOLDER, ModelSpec


@dataclass(frozen=True)
class Models:
    """Installed models, sorted by id."""

    specs: tuple[ModelSpec, ...]

    @property
    def names(self) -> frozenset[str]:
        """Everything that a job may say: names (the worker picks their newest version) and ids `name@version`."""
        return frozenset(word for spec in self.specs for word in (spec.name, spec.model_id))

    def is_default(self, spec: ModelSpec, default: str) -> bool:
        """Whether jobs that name no model get this one: the default itself, or the newest version of its name."""
        if default == spec.model_id:
            return True
        versions = [other.version for other in self.specs if other.name == spec.name]
        return default == spec.name and spec.version == max(versions, key=_version_key)


def installed_models(folder: Path = WEIGHTS_FOLDER) -> Models:
    """Every model with a sidecar in `folder`. KeyError, TypeError or ValueError where a sidecar is malformed."""
    specs: Sequence[ModelSpec] = [
        ModelSpec.from_json(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))
    ]
    return Models(tuple(sorted(specs, key=lambda spec: (spec.name, _version_key(spec.version)))))


def _version_key(version: str) -> tuple[int, str]:
    """Numbers by value, ahead of nothing else: `10` is newer than `9`."""
    return (int(version) if version.isdecimal() else -1, version)
