"""The models that jobs can name: those of the package and those imported, and what each name stands for.

Reads JSON only, no weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vision.segmenters.spec import WEIGHTS_FOLDER, ModelSpec


@dataclass(frozen=True)
class Models:
    """Models that can be run, sorted by id."""

    specs: tuple[ModelSpec, ...]
    promoted: Mapping[str, str] = field(default_factory=dict)
    """Name -> the id that it stands for, where somebody said so."""
    imported: frozenset[str] = frozenset()
    """Ids that do not come with the package: a name stands for them only when promoted."""

    @property
    def ids(self) -> dict[str, str]:
        """Everything that a job may say -> the id it means: ids themselves, and names.

        A name stands for the version that was promoted, else for the newest of the package: an import alone changes
        nothing.
        """
        known = {spec.model_id: spec.model_id for spec in self.specs}
        # Sorted by version: the newest comes last and stands.
        newest = {spec.name: spec.model_id for spec in self.specs if spec.model_id not in self.imported}
        standing = {name: model_id for name, model_id in self.promoted.items() if model_id in known}
        return known | newest | standing

    @property
    def names(self) -> frozenset[str]:
        """Everything that a job may say."""
        return frozenset(self.ids)

    def is_default(self, spec: ModelSpec, default: str) -> bool:
        """Whether jobs that name no model get this one."""
        return self.ids.get(default) == spec.model_id

    def find(self, word: str) -> ModelSpec | None:
        """The model that a name or an id means, or None."""
        model_id = self.ids.get(word)
        return next((spec for spec in self.specs if spec.model_id == model_id), None)

    def with_imported(self, specs: Sequence[ModelSpec], promoted: Mapping[str, str]) -> "Models":
        """These and the imported ones; where both have an id, the package's stands."""
        own = {spec.model_id for spec in self.specs}
        more = [spec for spec in specs if spec.model_id not in own]
        imported = frozenset(spec.model_id for spec in more)
        return Models(_sorted([*self.specs, *more]), promoted, imported)


def installed_models(folder: Path = WEIGHTS_FOLDER) -> Models:
    """Every model with a sidecar in `folder`. KeyError, TypeError or ValueError where a sidecar is malformed."""
    return Models(_sorted([ModelSpec.from_json(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]))


def _sorted(specs: Sequence[ModelSpec]) -> tuple[ModelSpec, ...]:
    return tuple(sorted(specs, key=lambda spec: (spec.name, _version_key(spec.version))))


def _version_key(version: str) -> tuple[int, str]:
    """Numbers by value, ahead of nothing else: `10` is newer than `9`."""
    return (int(version) if version.isdecimal() else -1, version)
