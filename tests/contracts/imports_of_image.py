"""`python -m tests.contracts.imports_of_image EXTRA,EXTRA MODULE...`: import what an image runs, by its own packages.

Every other package that is installed here is hidden, so that one which is missing from the image's list fails.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions

from packaging.utils import canonicalize_name

from tests.contracts.pins import reached


class _Hide:
    """Finds nothing, and refuses what is hidden."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"not in the image: {name}", name=name)
        return None


def hidden(extras: frozenset[str]) -> frozenset[str]:
    """Top-level modules of packages that `extras` do not bring."""
    there = reached(extras)
    return frozenset(
        module
        for module, owners in packages_distributions().items()
        if not any(canonicalize_name(owner) in there for owner in owners)
    )


if __name__ == "__main__":
    extras, *modules = sys.argv[1:]
    away = hidden(frozenset(extras.split(",")))
    for name in [name for name in sys.modules if name.partition(".")[0] in away]:
        del sys.modules[name]  # this program's own needs
    sys.meta_path.insert(0, _Hide(away))
    for name in modules:
        importlib.import_module(name)
    print(*sorted(away))  # noqa: T201
