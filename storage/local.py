"""Files in a folder. For one machine; several machines need a store that all of them reach."""

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

from typing_extensions import Buffer

from storage.port import (
    NOT_SERVED,
    ObjectNotFoundError,
    Served,
    StorageUnavailableError,
    StoredObject,
    checked,
    is_key,
)

_TEMPORARY = "tmp-"


class LocalStorage:
    """`Storage` in `root`. A file appears under its name only when all its bytes are on the disk."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._root.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, body: bytes | memoryview | BinaryIO, served: Served = NOT_SERVED) -> int:  # noqa: ARG002 - the API serves these files
        """Write beside, sync, rename. See `Storage.put`."""
        path = self._path(key)
        try:
            handle, temporary = _temporary_beside(path)
            try:
                with os.fdopen(handle, "wb") as file:
                    if isinstance(body, bytes | memoryview):
                        file.write(body)
                    else:
                        shutil.copyfileobj(body, file, 1 << 20)
                    file.flush()
                    os.fsync(file.fileno())
                    size = file.tell()
                Path(temporary).replace(path)
                _sync_folder(path.parent)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StorageUnavailableError(f"can't write {key}: {error.strerror}") from error
        return size

    def open(self, key: str) -> BinaryIO:
        """See `Storage.open`."""
        path = self._path(key)
        with _told(key):
            try:
                return cast("BinaryIO", io.BufferedReader(_LocalFile(path, key)))
            except (FileNotFoundError, IsADirectoryError) as error:
                raise ObjectNotFoundError(key) from error

    def delete(self, key: str) -> None:
        """Remove the file and the folders that it leaves empty. See `Storage.delete`."""
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageUnavailableError(f"can't remove {key}: {error.strerror}") from error
        for folder in path.parents:
            if folder == self._root:
                break
            try:
                folder.rmdir()
            except OSError:
                break  # not empty, or gone already: another file lives there or another thread was first

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Storage.list`."""
        for folder, _, names in os.walk(self._root / prefix):
            for name in names:
                path = Path(folder, name)
                if not is_key(path.relative_to(self._root).as_posix()):
                    continue  # not ours: what file managers and network folders leave
                try:
                    facts = path.stat()
                except FileNotFoundError:
                    continue
                yield StoredObject(
                    path.relative_to(self._root).as_posix(),
                    facts.st_size,
                    datetime.fromtimestamp(facts.st_mtime, UTC),
                )

    def url(self, key: str, *, expires_in: timedelta) -> str | None:  # noqa: ARG002 - as the port says
        """None: a folder answers no requests. See `Storage.url`."""
        checked(key)
        return None

    def check(self) -> None:
        """See `Storage.check`."""
        key = f"health/check-{os.getpid()}"
        self.put(key, b"ok")
        self.delete(key)

    def _path(self, key: str) -> Path:
        """The file behind a key."""
        return self._root / checked(key)


class _LocalFile(io.FileIO):
    """A file whose reads raise `StorageUnavailableError`: a disk or a network folder may fail after it was opened."""

    def __init__(self, path: Path, key: str) -> None:
        super().__init__(path)
        self._key = key

    def readinto(self, buffer: Buffer, /) -> int | None:
        """Fill the buffer as far as one read goes; 0 at the end."""
        with _told(self._key):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        """The rest."""
        with _told(self._key):
            return super().readall()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go on elsewhere."""
        with _told(self._key):
            return super().seek(offset, whence)


@contextmanager
def _told(key: str) -> Iterator[None]:
    """What the disk says, as an error of the port."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailableError(f"can't read {key}: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """The new name is on the disk too: a row that names it may be committed next."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _temporary_beside(path: Path) -> tuple[int, str]:
    """Open a new file in the folder of `path`, which a delete beside us may be removing at this moment."""
    for _ in range(100):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
        except (FileNotFoundError, FileExistsError):
            # Also what `mkdir` raises for a folder that was there and is gone when it looks what it is.
            if path.parent.is_file():
                raise
    raise FileNotFoundError(2, "the folder keeps vanishing", str(path.parent))
