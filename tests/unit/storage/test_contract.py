"""One suite for every store: a folder, obstore's own in memory, a bucket of a real S3 server, one as Google's."""

import io
import os
import threading
import zipfile
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from config.settings import Settings
from storage.local import LocalStorage
from storage.object_reader import CHUNK_BYTES
from storage.objects import ObjectStorage
from storage.opening import open_storage
from storage.port import ObjectNotFoundError, Storage, StorageUnavailableError


@pytest.fixture(params=["local", "memory", "s3", "gs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return LocalStorage(tmp_path / "files")
    if request.param == "memory":
        return ObjectStorage(MemoryStore())
    kind = "s3" if request.param == "s3" else "google"
    bucket = request.getfixturevalue(f"{kind}_bucket")
    server = request.getfixturevalue(f"{kind}_server")
    url = f"{request.param}://{bucket}/some/prefix"
    return open_storage(Settings(storage_url=url, storage_endpoint=server.endpoint))


def read(store: Storage, key: str) -> bytes:
    with store.open(key) as file:
        return file.read()


@pytest.mark.parametrize("body", [b"", b"photo", b"x" * 3_000_000, os.urandom(2**20) * 20 + b"end"])
def test_what_is_put_comes_back(store: Storage, body: bytes) -> None:
    assert store.put("jobs/1/input", body) == len(body)
    assert store.put("jobs/2/input", io.BytesIO(body)) == len(body)
    assert read(store, "jobs/1/input") == read(store, "jobs/2/input") == body


def test_a_put_replaces(store: Storage) -> None:
    store.put("a/b", b"first")
    store.put("a/b", b"second")
    assert read(store, "a/b") == b"second"


@pytest.mark.parametrize("breaks_at", [10, 20_000_000])
def test_a_failed_put_leaves_what_was_there(store: Storage, breaks_at: int) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= breaks_at:
                raise OSError(28, "No space left on device")
            return super().read(min(size or 1, breaks_at))

    store.put("a/b", b"first")
    with pytest.raises(StorageUnavailableError):
        store.put("a/b", Broken(b"x" * 2 * breaks_at))
    assert read(store, "a/b") == b"first"
    assert [found.key for found in store.list("")] == ["a/b"]


def test_nothing_is_not_found(store: Storage) -> None:
    with pytest.raises(ObjectNotFoundError):
        store.open("a/none")
    store.put("a/b", b"")
    with pytest.raises(ObjectNotFoundError):
        store.open("a")


@pytest.mark.parametrize("size", [-1, 10, 100_000])
def test_a_disk_that_fails_under_an_open_file_is_a_store_that_is_away(tmp_path: Path, size: int) -> None:
    store = LocalStorage(tmp_path)
    (tmp_path / "broken").symlink_to("/proc/self/mem")  # opens, and its first page can't be read: EIO
    with store.open("broken") as file, pytest.raises(StorageUnavailableError, match="can't read broken"):
        file.read(size)


def test_delete_is_idempotent_and_leaves_neighbours(store: Storage) -> None:
    store.put("jobs/1/input", b"1")
    store.put("jobs/1/1/cutout.png", b"2")
    store.delete("jobs/1/input")
    store.delete("jobs/1/input")
    assert [found.key for found in store.list("jobs")] == ["jobs/1/1/cutout.png"]


def test_list_tells_sizes_and_ages(store: Storage) -> None:
    store.put("mattes/1.png", b"12345")
    [found] = store.list("mattes/")
    assert (found.key, found.bytes) == ("mattes/1.png", 5)
    assert found.modified_at.tzinfo is not None
    assert list(store.list("none")) == []


def test_a_long_list_comes_in_pages(store: Storage) -> None:
    keys = {f"jobs/{number}/input" for number in range(25)}
    for key in (*keys, "jobsx/1", "mattes/1.png"):
        store.put(key, b"x")
    found = [stored.key for stored in store.list("jobs")]
    assert len(found) == len(keys)
    assert set(found) == keys


@pytest.mark.parametrize("size", [1000, CHUNK_BYTES + 1000])
def test_a_reader_goes_where_it_is_sent(store: Storage, size: int) -> None:
    body = os.urandom(size)
    store.put("batches/1/manifest", body)
    with store.open("batches/1/manifest") as file:
        assert file.seek(-10, os.SEEK_END) == size - 10
        assert file.read() == body[-10:]
        assert file.read(5) == b""
        file.seek(500)
        assert file.read(400) == body[500:900]
        assert file.read() == body[900:]
        file.seek(0)
        assert b"".join(iter(lambda: file.read(100_000), b"")) == body


def test_a_zip_is_read_in_place(store: Storage) -> None:
    packed = io.BytesIO()
    photos = {f"{number}.jpg": os.urandom(CHUNK_BYTES // 3) for number in range(8)}
    with zipfile.ZipFile(packed, "w") as archive:
        for name, photo in photos.items():
            archive.writestr(name, photo)
    store.put("batches/1/manifest", packed.getbuffer())
    with store.open("batches/1/manifest") as file, zipfile.ZipFile(file) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == photos


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../b", "a//b", "", "a/", "A", "a\0", "a\\b", ".hidden"])
def test_a_key_never_leaves_the_store(store: Storage, key: str) -> None:
    with pytest.raises(ValueError, match="storage key"):
        store.put(key, b"")


def test_check_tells_of_a_store_that_is_away(tmp_path: Path) -> None:
    store = LocalStorage(tmp_path / "files")
    store.check()
    (tmp_path / "files").rmdir()
    (tmp_path / "files").write_text("a file where the folder was")
    with pytest.raises(StorageUnavailableError):
        store.check()


def test_puts_and_deletes_beside_each_other(store: Storage) -> None:
    """Deleting the last file of a folder removes the folder; a put into it must not fail for that."""
    errors: list[BaseException] = []

    def churn(name: str) -> None:
        try:
            for _ in range(200 if isinstance(store, LocalStorage) else 30):
                store.put(f"jobs/1/{name}", b"x")
                store.delete(f"jobs/1/{name}")
        except StorageUnavailableError as error:
            errors.append(error)

    threads = [threading.Thread(target=churn, args=(str(n),)) for n in range(os.cpu_count() or 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
