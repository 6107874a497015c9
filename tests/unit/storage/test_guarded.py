import time
from pathlib import Path
from typing import BinaryIO

import pytest

from config.settings import Settings
from storage.breaker import BreakerState
from storage.guarded import guard
from storage.local import LocalStorage
from storage.port import NOT_SERVED, ObjectNotFoundError, Served, StorageUnavailableError
from worker.store_gate import StoreGate

TIMEOUT_S = 0.1
PAUSE_S = 0.3


class Silent(LocalStorage):
    """It says nothing for as long as a request may take, while `takes_s` is set; then that it can't."""

    takes_s: float | None = TIMEOUT_S
    asked = 0

    def put(self, key: str, body: bytes | memoryview | BinaryIO, served: Served = NOT_SERVED) -> int:
        self.asked += 1
        if self.takes_s is not None:
            time.sleep(self.takes_s)
            raise StorageUnavailableError("can't write")
        return super().put(key, body, served)


@pytest.fixture
def settings() -> Settings:
    return Settings(storage_timeout_s=TIMEOUT_S, storage_failures=2, storage_pause_s=PAUSE_S)


@pytest.fixture
def silent(tmp_path: Path) -> Silent:
    return Silent(tmp_path)


def test_a_silent_store_is_left_alone_and_found_again(silent: Silent, settings: Settings) -> None:
    store = guard(silent, settings)
    gate = StoreGate(store, settings)
    for _ in range(2):
        with pytest.raises(StorageUnavailableError) as waited:
            store.put("jobs/a", b"x")
        assert waited.value.retry_after_s is None
    for ask in (lambda: store.put("jobs/a", b"x"), lambda: store.open("jobs/a"), store.check):
        started = time.monotonic()
        with pytest.raises(StorageUnavailableError) as refused:
            ask()
        assert time.monotonic() - started < TIMEOUT_S / 2
        assert refused.value.retry_after_s == 1
    assert (silent.asked, store.state) == (2, BreakerState.OPEN)
    assert (gate.is_shut, gate.readers(8), gate.writers(8)) == (True, 0, 0)
    time.sleep(PAUSE_S)
    assert (gate.is_shut, gate.readers(8), gate.writers(8)) == (False, 1, 1)
    silent.takes_s = None
    store.put("jobs/a", b"x")
    assert (silent.asked, store.state) == (3, BreakerState.CLOSED)
    assert (gate.readers(8), gate.writers(8)) == (8, 8)


@pytest.mark.parametrize("answer", ["full", "gone"])
def test_what_answers_in_time_is_there(silent: Silent, settings: Settings, answer: str) -> None:
    store = guard(silent, settings)
    silent.takes_s = 0.0
    for _ in range(5):
        with pytest.raises(StorageUnavailableError if answer == "full" else ObjectNotFoundError):
            _ = store.put("jobs/a", b"x") if answer == "full" else store.open("jobs/none")
    assert store.state is BreakerState.CLOSED


def test_rows_that_a_store_lets_down_shut_the_gate_for_writers_alone(silent: Silent, settings: Settings) -> None:
    gate = StoreGate(guard(silent, settings), settings)
    gate.refused()
    gate.stored()
    gate.refused()
    assert gate.writers(8) == 8
    gate.refused()
    assert (gate.is_shut, gate.writers(8), gate.readers(8)) == (True, 0, 8)
    time.sleep(PAUSE_S)
    assert [gate.writers(8), gate.writers(8)] == [1, 0]
    time.sleep(PAUSE_S)
    assert gate.writers(8) == 1, "the one before ended without a word of the store"
    gate.stored()
    assert gate.writers(8) == 8
