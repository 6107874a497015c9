"""Which photos `packshot remove` takes, and which file each becomes. Reads folders, writes nothing."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vision.codec.signature import ENDINGS

PHOTO_ENDINGS = frozenset(ENDINGS)


@dataclass(frozen=True)
class Item:
    """A photo and its place. With a `problem` it is not worked on and counts as failed."""

    photo: Path
    output: Path
    problem: str | None = None

    @property
    def is_done(self) -> bool:
        """An output that is not older than its photo. Outputs are written whole or not at all."""
        try:
            return self.output.stat().st_mtime_ns >= self.photo.stat().st_mtime_ns
        except FileNotFoundError:
            return False


@dataclass(frozen=True)
class Result:
    """What became of a photo: written with a verdict, or a problem."""

    item: Item
    verdict: str = ""
    reasons: tuple[str, ...] = ()
    problem: str | None = None
    took_s: float = 0.0


def plan(paths: Sequence[Path], output_dir: Path, output_format: str) -> list[Item]:
    """One item a photo, in the order given, folders in alphabetical order.

    A file is taken whatever its name. Of a folder, and of the folders in it, files with the ending of a photo are
    taken; hidden ones and `output_dir` itself are left out. Files and a folder's own photos go to
    `output_dir/<stem>.<format>`; photos further down keep their folders. No photo ever takes the place of another or
    of itself: such an item carries a problem.
    """
    items: list[Item] = []
    taken: dict[Path, Path] = {}
    for photo, folder in _photos(paths, output_dir.resolve()):
        output = output_dir / folder / f"{photo.stem}.{output_format}"
        place = output.resolve()
        owner = taken.get(place)
        if owner == photo.resolve():
            continue  # the same photo, named twice
        if not photo.exists():
            items.append(Item(photo, output, "there is no such file"))
        elif owner is not None:
            items.append(Item(photo, output, f"{owner.name} becomes {output.name} already; give it a name of its own"))
        elif place == photo.resolve():
            items.append(Item(photo, output, "the output would replace the photo; choose another folder"))
        else:
            taken[place] = photo.resolve()
            items.append(Item(photo, output))
    return items


def _photos(paths: Sequence[Path], output_dir: Path) -> Iterator[tuple[Path, Path]]:
    """Photos, each with its folder below the one that was named."""
    for path in paths:
        if not path.is_dir():
            yield path, Path()
            continue
        for here, folders, names in os.walk(path):
            folder = Path(here)
            folders[:] = sorted(
                name for name in folders if not name.startswith(".") and (folder / name).resolve() != output_dir
            )
            for name in sorted(names):
                if Path(name).suffix.lower() in PHOTO_ENDINGS and not name.startswith("."):
                    yield folder / name, folder.relative_to(path)
