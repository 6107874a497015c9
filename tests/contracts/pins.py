"""The packages that Packshot's extras pull in on this machine, pinned; `make pins` writes them to constraints.txt."""

from importlib.metadata import requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = frozenset({"api", "worker", "onnx", "embedded", "train", "tracing", "demo", "deploy", "dev"})


def installed_pins() -> dict[str, str]:
    """Name -> version of everything reached from Packshot's requirements with all extras, in alphabetical order.

    Our own distributions are left out: they come from this checkout.
    """
    return {name: version(name) for name in sorted(reached(EXTRAS) - {"packshot", "packshot-client"})}


def reached(extras: frozenset[str]) -> set[str]:
    """Names of Packshot with these extras and of all that it needs here, installed or not."""
    found: dict[str, set[str]] = {}
    waiting = [("packshot", extras)]
    while waiting:
        name, extras = waiting.pop()
        known = found.setdefault(name, set())
        for text in requires(name) or []:
            requirement = Requirement(text)
            wanted = [
                extra
                for extra in ("", *extras)
                if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
            ]
            child = canonicalize_name(requirement.name)
            if wanted and (child not in found or not requirement.extras <= found[child]):
                waiting.append((child, frozenset(requirement.extras)))
        known |= extras
    return set(found)


def elsewhere() -> set[str]:
    """Names of what Packshot asks for on other machines or Pythons than this one."""
    names = set()
    for text in requires("packshot") or []:
        requirement = Requirement(text)
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in EXTRAS):
            names.add(canonicalize_name(requirement.name))
    return names - reached(EXTRAS)


def unmet() -> list[str]:
    """Requirements of Packshot with all extras that what is installed does not meet."""
    lines = []
    for_others = elsewhere()
    for text in requires("packshot") or []:
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) in for_others:
            continue
        if not requirement.specifier.contains(version(requirement.name), prereleases=True):
            lines.append(f"{text}, installed: {version(requirement.name)}")
    return lines


if __name__ == "__main__":
    print("# Exact versions of everything, for pip's --constraint. Written by `make pins`.")  # noqa: T201
    for name, pinned in installed_pins().items():
        print(f"{name}=={pinned}")  # noqa: T201
