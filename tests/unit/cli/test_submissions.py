"""The journal of `packshot submit`."""

from pathlib import Path

import pytest

from cli.submissions import FILE, InUseError, Journal, Record, idempotency_key, read_records, terms_of

RECORD = Record("shoes/a.png", "terms", "sha", 0, "job_1", "submitted")
DONE = Record("shoes/a.png", "terms", "sha", 0, "job_1", "done")


def test_the_last_word_counts(tmp_path: Path) -> None:
    with Journal(tmp_path / "new") as journal:
        assert journal.find("shoes/a.png") is None
        journal.add(RECORD)
        journal.add(DONE)
        assert journal.find("shoes/a.png") == DONE
    assert Journal(tmp_path / "new").find("shoes/a.png") == DONE


def test_a_line_that_broke_off_is_left_out_and_swallows_none(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.add(RECORD)
    with (tmp_path / FILE).open("a") as file:
        file.write('[1]\n{"output": "b"}\n{"output": "sho')
    with Journal(tmp_path) as journal:
        assert journal.find("shoes/a.png") == RECORD
        journal.add(DONE)
    assert read_records(tmp_path / FILE) == {"shoes/a.png": DONE}


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with Journal(tmp_path), pytest.raises(InUseError), Journal(tmp_path):
        pass
    with Journal(tmp_path):
        pass


def test_looking_writes_nothing(tmp_path: Path) -> None:
    Journal(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_keys_differ_by_everything_that_makes_another_job() -> None:
    terms = terms_of("http://x", {"format": "png"})
    assert terms != terms_of("http://y", {"format": "png"}) != terms_of("http://y", {"format": "jpg"})
    keys = {
        idempotency_key(terms, "sha", "a.jpg", 0), idempotency_key(terms, "sha", "a.jpg", 1),
        idempotency_key(terms, "sha", "b.jpg", 0), idempotency_key(terms, "other", "a.jpg", 0),
    }  # fmt: skip
    assert len(keys) == 4
    assert all(len(key) <= 255 for key in keys)
