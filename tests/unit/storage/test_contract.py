"""One suite for every store."""

import io
import os
import threading
from pathlib import Path

import pytest

from storage.local import LocalStorage
from storage.port import ObjectNotFoundError, Storage, StorageUnavailableError


@pytest.fixture(params=["local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return {"local": LocalStorage}[request.param](tmp_path / "files")


def read(store: Storage, key: str) -> bytes:
    with store.open(key) as file:
        return file.read()


@pytest.mark.parametrize("body", [b"", b"photo", b"x" * 3_000_000])
def test_what_is_put_comes_back(store: Storage, body: bytes) -> None:
    assert store.put("jobs/1/input", body) == len(body)
    assert store.put("jobs/2/input", io.BytesIO(body)) == len(body)
    assert read(store, "jobs/1/input") == read(store, "jobs/2/input") == body


def test_a_put_replaces(store: Storage) -> None:
    store.put("a/b", b"first")
    store.put("a/b", b"second")
    assert read(store, "a/b") == b"second"


def test_a_failed_put_leaves_what_was_there(store: Storage) -> None:
    class Broken(io.BytesIO):
        def read(self, _: int | None = -1) -> bytes:
            if self.tell() > 0:
                raise OSError(28, "No space left on device")
            return super().read(10)

    store.put("a/b", b"first")
    with pytest.raises(StorageUnavailableError):
        store.put("a/b", Broken(b"x" * 100))
    assert read(store, "a/b") == b"first"
    assert [found.key for found in store.list("")] == ["a/b"]


def test_nothing_is_not_found(store: Storage) -> None:
    with pytest.raises(ObjectNotFoundError):
        store.open("a/none")
    store.put("a/b", b"")
    with pytest.raises(ObjectNotFoundError):
        store.open("a")


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
            for _ in range(200):
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
