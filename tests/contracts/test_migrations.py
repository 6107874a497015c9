"""Migrations lead to exactly the models' schema, and back."""

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, inspect, text

from db.migrate import alembic_config, upgrade
from db.session import build_engine


def _tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def test_models_and_migrations_agree(database: str) -> None:
    command.check(alembic_config(database))


def test_a_difference_would_be_seen(database: str) -> None:
    engine = build_engine(database)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE jobs DROP COLUMN labels"))
    engine.dispose()
    with pytest.raises(CommandError, match="New upgrade operations detected"):
        command.check(alembic_config(database))


def test_each_migration_goes_down_and_up_again(empty_database: str) -> None:
    config = alembic_config(empty_database)
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    upgrade(empty_database)
    engine = build_engine(empty_database)
    whole = _tables(engine)
    for _ in revisions:
        command.downgrade(config, "-1")
        command.upgrade(config, "+1")
        command.downgrade(config, "-1")
    assert _tables(engine) == set()
    upgrade(empty_database)
    assert _tables(engine) == whole
    engine.dispose()
    command.check(config)


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(alembic_config("postgresql://unused")).get_heads()) == 1
