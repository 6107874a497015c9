"""The key that `packshot up` prints: made once, kept for its owner alone, never pushed on a database with keys."""

from pathlib import Path

from cli.keys import KEY_FILE, first_key
from db import keys as rows
from db.session import Sessions
from jobs import keys


def test_made_once_and_found_again(sessions: Sessions, tmp_path: Path) -> None:
    first = first_key(sessions, tmp_path)
    assert first is not None
    assert first_key(sessions, tmp_path) == first
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    with sessions.begin() as session:
        assert keys.authenticate(session, first.token) == keys.Caller(first.id, frozenset(keys.Scope))
        assert [key.name for key in rows.all_keys(session)] == ["packshot up"]


def test_a_database_with_keys_gets_no_more(sessions: Sessions, tmp_path: Path) -> None:
    with sessions.begin() as session:
        keys.create(session, "shop")
    assert first_key(sessions, tmp_path) is None
    assert not (tmp_path / KEY_FILE).exists()


def test_a_revoked_key_is_replaced(sessions: Sessions, tmp_path: Path) -> None:
    first = first_key(sessions, tmp_path)
    assert first is not None
    with sessions.begin() as session:
        rows.revoke(session, first.id)
    second = first_key(sessions, tmp_path)
    assert second is not None
    assert second.token != first.token
    assert first_key(sessions, tmp_path) == second
