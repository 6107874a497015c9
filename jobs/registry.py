"""The rules of the registry: versions never change, a name stands for the version that was promoted last."""

import json
import re
import threading
import time

from sqlalchemy.orm import Session

from db import registry as rows
from db.session import DATABASE_AWAY, Sessions
from jobs.models import Models
from vision.segmenters.spec import ModelSpec

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_FRESH_S = 2.0


class RegistryError(Exception):
    """The registry can't do this: a stable code, and a sentence that says why. `docs/models.md` has the codes."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


def read(session: Session, packaged: Models) -> Models:
    """The models of the package and of the registry."""
    specs = [ModelSpec.from_json(json.dumps(row.spec)) for row in rows.all_versions(session)]
    return packaged.with_imported(specs, rows.promoted(session))


def check_free(session: Session, spec: ModelSpec, packaged: Models) -> None:
    """RegistryError when the id is malformed or taken: by the package, or by an earlier import."""
    for word in (spec.name, spec.version):
        if not _NAME.fullmatch(word):
            raise RegistryError(
                "invalid_name", f"{word!r} is no name or version: small letters, digits, dots, dashes, up to 63."
            )
    if read(session, packaged).find(spec.model_id) is not None:
        raise _taken(spec)


def register(session: Session, spec: ModelSpec, packaged: Models, *, key: str, size_bytes: int, source: str) -> None:
    """Add a version whose weights are stored under `key`. RegistryError as `check_free`, also for who came second."""
    check_free(session, spec, packaged)
    values = {"name": spec.name, "version": spec.version, "spec": json.loads(spec.to_json())}
    values |= {"key": key, "sha256": spec.weights_sha256, "bytes": size_bytes, "source": source}
    if not rows.add(session, id=spec.model_id, **values):
        raise _taken(spec)


def _taken(spec: ModelSpec) -> RegistryError:
    return RegistryError(
        "version_exists", f"{spec.model_id} is there already, and versions never change: give yours another version."
    )


def promote(session: Session, model_id: str, packaged: Models) -> str:
    """Let the model's name stand for this version; returns the name. RegistryError for an unknown id."""
    models = read(session, packaged)
    spec = models.find(model_id)
    if spec is None or spec.model_id != model_id:
        known = ", ".join(each.model_id for each in models.specs)
        raise RegistryError("model_not_found", f"There is no version {model_id!r}; there are {known}.")
    rows.promote(session, spec.name, model_id)
    return spec.name


def roll_back(session: Session, name: str, packaged: Models) -> tuple[str, str]:
    """Undo the last promotion of a name; returns (id taken back, id that it stands for now).

    RegistryError when nothing was promoted, or nothing would be left that the name could stand for.
    """
    taken = rows.roll_back(session, name)
    if taken is None:
        raise RegistryError("not_promoted", f"No version of {name!r} was promoted.")
    current = read(session, packaged).ids.get(name)
    if current is None:
        raise RegistryError("not_promoted", f"Without {taken} the name {name!r} would stand for nothing.")
    return taken, current


class Catalog:
    """The models as an API process sees them: read again when older than two seconds; shared by threads.

    While the database is away, what was read last stands.
    """

    def __init__(self, sessions: Sessions, packaged: Models) -> None:
        self._sessions = sessions
        self._packaged = packaged
        self._models = packaged
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def models(self) -> Models:
        """All of them."""
        with self._lock:
            if time.monotonic() - self._read_at > _FRESH_S:
                try:
                    with self._sessions() as session:
                        self._models = read(session, self._packaged)
                except DATABASE_AWAY:
                    return self._models
                self._read_at = time.monotonic()
            return self._models
