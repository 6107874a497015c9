"""What a run was begun with, kept beside its checkpoints: whatever goes on there has to be the same run."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from training.manifest import Row, select
from training.prepare import SCENE_GROUPS, split_backgrounds, training_rows, validation_rows
from training.recipe import Recipe, RecipeError

FILE = "run.json"
OF_THE_MACHINE = ("threads", "loader_workers")
"""Fields of a recipe that change how fast a run learns, not what."""


@dataclass(frozen=True)
class Origin:
    """Recipe, photos and start of a run."""

    recipe: dict[str, Any]
    photos: dict[str, str]
    """Of each split and source, such as `train/drawn`: how many, and a checksum of their names and sizes."""
    started_from: str | None
    """Checkpoint, sidecar or id of a model, as `cli.model_source.training_source` found it."""
    learnt_from: tuple[str, ...]
    """Licence classes of the manifest, of this run's photos and of the model that it started from."""

    @classmethod
    def of(cls, recipe: Recipe, rows: Sequence[Row], started_from: str | None) -> Self:
        """Of a run that is about to begin; the classes are those of its own photos."""
        used = rows_used(recipe, rows)
        fields = {key: value for key, value in asdict(recipe).items() if key not in OF_THE_MACHINE}
        by_source: dict[str, list[Row]] = {}
        for row in used:
            by_source.setdefault(f"{row.split}/{row.source}", []).append(row)
        photos = {source: _checksum(by_source[source]) for source in sorted(by_source)}
        classes = tuple(sorted({row.licence_class for row in used}))
        return cls(json.loads(json.dumps(fields)), photos, started_from, classes)

    def write(self, run_dir: Path) -> None:
        """To `run_dir`; whole or not at all, as several processes may write the same."""
        run_dir.mkdir(parents=True, exist_ok=True)
        part = run_dir / f"{FILE}.{os.getpid()}.part"
        part.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        part.replace(run_dir / FILE)


def rows_used(recipe: Recipe, rows: Sequence[Row]) -> list[Row]:
    """Rows that a run's weights depend on: learnt from, drawn as grounds, or chosen by."""
    grounds = split_backgrounds(select(rows, "backgrounds"))[0] if recipe.groups() & set(SCENE_GROUPS) else []
    return [*training_rows(recipe, rows), *validation_rows(recipe, rows), *grounds]


def resumed(now: Origin, run_dir: Path) -> Origin:
    """What the run in `run_dir` was begun with. RecipeError naming everything in which `now` differs.

    Longer phases are another run, too: rates and the order of the samples follow a phase's whole length.
    """
    path = run_dir / FILE
    if not path.is_file():
        raise RecipeError(
            f"{run_dir} holds checkpoints but no {FILE}: nothing tells what they were trained with. "
            "Give the run another folder; --from takes a checkpoint"
        )
    fields = json.loads(path.read_text(encoding="utf-8"))
    begun = Origin(**{**fields, "learnt_from": tuple(fields["learnt_from"])})
    changes = [*_changes(begun.recipe, now.recipe, ""), *_changes(begun.photos, now.photos, "photos of ")]
    if now.started_from not in {None, begun.started_from}:
        start = f"from {begun.started_from}" if begun.started_from else "from nothing"
        changes.append(f"it started {start}, now from {now.started_from}")
    if changes:
        raise RecipeError(
            f"{run_dir} holds another run: {'; '.join(changes)}. "
            "Give this one a folder of its own; --from takes a checkpoint"
        )
    return begun


def check_inherited(recipe: Recipe, model_id: str, learnt_from: Sequence[str]) -> None:
    """RecipeError when a run would inherit from licence classes that it may not learn from itself."""
    if foreign := sorted(set(learnt_from) - set(recipe.data.licences)):
        raise RecipeError(
            f"{model_id} learnt from photos of the licence classes {', '.join(foreign)}, which this run leaves out "
            f"({', '.join(recipe.data.licences)} only). --inherit-licences starts from it all the same"
        )


def _changes(was: Mapping[str, Any], now: Mapping[str, Any], prefix: str) -> Iterator[str]:
    old, new = dict(_flat(was)), dict(_flat(now))
    for name in [*old, *(each for each in new if each not in old)]:
        if old.get(name) != new.get(name):
            shown = [json.dumps(each[name]) if name in each else "missing" for each in (old, new)]
            yield f"{prefix}{name} was {shown[0]}, now is {shown[1]}"


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if key == "phases":
            for phase in value:
                yield from _flat(phase, f"phase {phase['name']}.")
        elif isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _checksum(rows: Sequence[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        files = [(path.name, path.stat().st_size) for path in (row.image, row.mask) if path is not None]
        digest.update(repr((row.name, row.licence_class, files)).encode())
    return f"{len(rows)} photos, {digest.hexdigest()[:12]}"
