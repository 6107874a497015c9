"""`packshot keys` on a database."""

import re

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from cli.main import app
from db.key_models import ApiKey
from db.session import Sessions
from jobs import keys


@pytest.fixture
def run(database: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PACKSHOT_DATABASE_URL", database)
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["keys", *arguments])
        assert done.exit_code == code, done.output
        return done.output

    return invoke


def token_in(output: str) -> str:
    return re.findall(r"pk_live_\S{52}", output)[0]


def test_create_list_rotate_revoke(run, sessions: Sessions) -> None:
    first = token_in(run("create", "shop", "--scope", "jobs:read", "--scope", "admin", "--expires-in-days", "30"))
    second = token_in(run("rotate", first, "--overlap-hours", "2"))
    shown = run("list")
    for token in (first, second):
        assert token.split("_")[2] in shown
        assert token.split("_", 3)[3] not in shown
    assert "admin jobs:read" in shown
    with sessions.begin() as session:
        callers = [keys.authenticate(session, token) for token in (first, second)]
        assert (
            callers[0]
            == callers[1]
            == keys.Caller(session.scalars(select(ApiKey.id)).one(), frozenset({"jobs:read", "admin"}))
        )
    assert re.search(r"queue_depth +7\n", run("limit", first, "--queue-depth", "7", "--requests-per-minute", "0"))
    assert "Revoked key_" in run("revoke", second.split("_")[2])
    with sessions.begin() as session:
        assert keys.authenticate(session, first) is None
    assert "revoked" in run("list")
    assert "revoked or expired" in run("revoke", keys.public_id(callers[0].id), code=1)
    assert "revoked or expired" in run("rotate", first, code=1)


def test_a_name_that_is_none(run) -> None:
    assert "There is no key like this" in run("rotate", "pk_live_nothere0_secret", code=1)
    run("create", "shop", "--scope", "root", code=2)
