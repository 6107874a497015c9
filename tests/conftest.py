"""Real servers for the tests that need them: one PostgreSQL and one Valkey a run, a database of its own per test."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import hypothesis
import psycopg
import pytest
from redis import Redis

from cli.embedded import EmbeddedBroker, EmbeddedDatabase
from config.settings import Settings
from db.migrate import upgrade
from db.session import Sessions, build_engine, build_sessions
from tests.google_server import GoogleServer
from tests.s3_server import CREDENTIALS, S3Server

_NUMBERS = itertools.count(1)
_Server = TypeVar("_Server", EmbeddedBroker, S3Server, GoogleServer)

# How long an example takes says more about the machine than about the code; the first one compiles loops besides.
hypothesis.settings.register_profile("packshot", deadline=None)
hypothesis.settings.load_profile("packshot")


def _running(kind: type[_Server]) -> Iterator[_Server]:
    with tempfile.TemporaryDirectory(prefix="packshot-test-", ignore_cleanup_errors=True) as folder:
        server = kind(Path(folder))
        yield server
        server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedDatabase]:
    """The server, with a migrated database `template` to clone."""
    # In /tmp: as root the server runs under a user of its own, which must reach the folder.
    with tempfile.TemporaryDirectory(prefix="packshot-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedDatabase(Path(folder, "postgres"))
        with psycopg.connect(server.url, autocommit=True) as connection:
            # These databases need not outlive a power cut. Syncing took most of the time of a test.
            for setting in ("fsync", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("CREATE DATABASE template")
        upgrade(database_url(server, "template"))
        yield server
        server.stop()


@pytest.fixture
def empty_database(postgres: EmbeddedDatabase) -> Iterator[str]:
    """URL of an empty database."""
    yield from _database(postgres, "template1")


@pytest.fixture
def database(postgres: EmbeddedDatabase) -> Iterator[str]:
    """URL of a migrated database that only this test sees: it may commit and race."""
    yield from _database(postgres, "template")


def _database(server: EmbeddedDatabase, template: str) -> Iterator[str]:
    name = f"test_{next(_NUMBERS)}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
        yield database_url(server, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def database_url(server: EmbeddedDatabase, name: str) -> str:
    return server.url.replace("/postgres?", f"/{name}?")


@pytest.fixture
def sessions(database: str) -> Iterator[Sessions]:
    engine = build_engine(database)
    yield build_sessions(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedBroker]:
    yield from _running(EmbeddedBroker)


@pytest.fixture
def broker(valkey: EmbeddedBroker) -> str:
    """URL of an empty broker."""
    with Redis.from_url(valkey.url) as client:
        client.flushall()
    return valkey.url


@pytest.fixture
def settings(database: str, broker: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database, broker_url=broker, data_dir=tmp_path, log_format="console")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    yield from _running(S3Server)


@pytest.fixture
def s3_bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an empty bucket, and credentials for it where a store looks for them."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{next(_NUMBERS)}"
    s3_server.make_bucket(bucket)
    return bucket


@pytest.fixture(scope="session")
def google_server() -> Iterator[GoogleServer]:
    yield from _running(GoogleServer)


@pytest.fixture
def google_bucket(google_server: GoogleServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an empty bucket, and the account that may use it where a store looks for it."""
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", google_server.account)
    bucket = f"bucket-{next(_NUMBERS)}"
    google_server.make_bucket(bucket)
    return bucket
