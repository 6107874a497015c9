"""`packshot keys`: API keys, and the key file of the embedded stack."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.output import console, fail
from config.settings import Settings
from db import keys as rows
from db.session import Sessions, build_engine, build_sessions
from jobs import keys
from jobs.durations import parse_duration
from jobs.errors import JobError
from jobs.quotas import OwnQuotas

KEY_FILE = "key.json"

OwnLimit = Annotated[int | None, typer.Option(min=0, help="The key's own limit; 0 sets none.")]

app = typer.Typer(help="Create, list, limit, rotate and revoke API keys.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who will use the key.")],
    scope: Annotated[
        list[keys.Scope] | None,
        typer.Option(help="What it may do, once for each; jobs:read and jobs:write by default."),
    ] = None,
    expires_in_days: Annotated[int | None, typer.Option(min=1, help="Days until the key ends.")] = None,
    requests_per_minute: OwnLimit = None,
    megapixels_per_minute: OwnLimit = None,
    queue_depth: OwnLimit = None,
) -> None:
    """Create a key. It and its webhook secret are shown once."""
    quotas = OwnQuotas(requests_per_minute, megapixels_per_minute, queue_depth)
    expires_at = None if expires_in_days is None else datetime.now(UTC) + timedelta(days=expires_in_days)
    with open_sessions(Settings()) as sessions, sessions.begin() as session:
        issued = keys.create(
            session, name, scopes=set(scope or keys.DEFAULT_SCOPES), expires_at=expires_at, quotas=quotas
        )
    console.print(f"key             {issued.token}", markup=False)
    console.print(f"webhook secret  {issued.webhook_secret}", markup=False)
    console.print("Keep both: they can't be shown again.")


@app.command("list")
def list_() -> None:
    """List keys with the public part of each secret that still lets in, never the secret."""
    table = Table("id", "name", "scopes", "secrets", "last used", "state")
    for column in table.columns:
        column.overflow = "fold"  # an id that is cut off names no key
    now = datetime.now(UTC)
    with open_sessions(Settings()) as sessions, sessions.begin() as session:
        for key in rows.all_keys(session):
            is_over = key.expires_at is not None and key.expires_at <= now
            state = "revoked" if key.revoked_at else "expired" if is_over else "live"
            valid = [secret for secret in key.secrets if secret.expires_at is None or secret.expires_at > now]
            table.add_row(
                keys.public_id(key.id),
                key.name,
                " ".join(key.scopes),
                "\n".join(keys.hint(secret.short) for secret in valid),
                "\n".join(_date(secret.last_used_at) for secret in valid),
                state,
            )
    console.print(table)


Key = Annotated[str, typer.Argument(help="The key's id, a whole key, or its public part as `list` shows it.")]


@app.command()
def limit(
    key: Key,
    requests_per_minute: OwnLimit = None,
    megapixels_per_minute: OwnLimit = None,
    queue_depth: OwnLimit = None,
) -> None:
    """Set a key's own limits; those that are not given stay."""
    given = vars(OwnQuotas(requests_per_minute, megapixels_per_minute, queue_depth))
    changes = {name: value for name, value in given.items() if value is not None}
    with open_sessions(Settings()) as sessions, _told(), sessions.begin() as session:
        key_id = keys.resolve(session, key)
        keys.change(session, key_id, changes)
        limits = vars(keys.own_quotas(keys.find(session, key_id)))
    for name, value in limits.items():
        console.print(f"{name:<22} {'the service' if value is None else value or 'none'}", markup=False)


@app.command()
def rotate(
    key: Key,
    overlap_hours: Annotated[
        float,
        typer.Option(min=0, max=keys.MAX_OVERLAP.total_seconds() / 3600, help="Hours that the old one stays valid."),
    ] = keys.OVERLAP.total_seconds() / 3600,
) -> None:
    """Give a key a new secret, shown once. Jobs stay; the old one is valid beside it for a while."""
    with open_sessions(Settings()) as sessions, _told(), sessions.begin() as session:
        issued = keys.rotate(session, keys.resolve(session, key), overlap=timedelta(hours=overlap_hours))
    console.print(f"key  {issued.token}", markup=False)
    console.print(f"Keep it: it can't be shown again. The one before ends in {overlap_hours:g} hours.")


@app.command()
def retention(
    key: Key,
    time: Annotated[str, typer.Argument(help="How long files stay: 12h, 30d; `default` is the service's own time.")],
) -> None:
    """Set how long files of a key's jobs stay after their end. Jobs that are there keep theirs."""
    try:
        files_retention = None if time == "default" else parse_duration(time)
    except ValueError as error:
        raise fail(str(error), code=2) from None
    with open_sessions(Settings()) as sessions, _told(), sessions.begin() as session:
        key_id = keys.resolve(session, key)
        keys.set_retention(session, key_id, files_retention)
    console.print(f"Files of {keys.public_id(key_id)} stay {time}.", markup=False)


@app.command()
def revoke(key: Key) -> None:
    """End a key with all its secrets, at once."""
    with open_sessions(Settings()) as sessions, _told(), sessions.begin() as session:
        key_id = keys.resolve(session, key)
        keys.revoke(session, key_id)
    console.print(f"Revoked {keys.public_id(key_id)}.", markup=False)


@contextmanager
def _told() -> Iterator[None]:
    """A refusal as one line."""
    try:
        yield
    except JobError as error:
        raise fail(f"{error.detail} See `packshot keys list`.") from None


@contextmanager
def open_sessions(settings: Settings) -> Iterator[Sessions]:
    """Sessions on the configured database, or on the embedded one, started for the moment where it is not running."""
    if settings.database_url is not None:
        engine = build_engine(settings.require_database_url())
        try:
            yield build_sessions(engine)
        finally:
            engine.dispose()
        return
    folder = settings.data_dir / "postgres"
    if not folder.exists():
        raise fail(f"PACKSHOT_DATABASE_URL is not set, and there is no stack in {settings.data_dir}.")
    from cli.embedded import EmbeddedDatabase

    server = EmbeddedDatabase(folder)
    engine = build_engine(server.url)
    try:
        yield build_sessions(engine)
    finally:
        engine.dispose()
        server.stop()


def _date(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"


def first_key(sessions: Sessions, folder: Path) -> keys.IssuedKey | None:
    """The key that `packshot up` prints, made at its first start and kept in the data folder for its owner alone.

    Who can read that file can read the database beside it, so the file gives nothing away; the database itself still
    holds a hash only. None where the database has keys of its own already: then their owner hands them out.
    """
    file = folder / KEY_FILE
    with sessions.begin() as session:
        if file.exists():
            stored = json.loads(file.read_text(encoding="utf-8"))
            caller = keys.authenticate(session, stored["key"])
            if caller is not None:
                short = stored["key"].split("_")[2]
                return keys.IssuedKey(caller.id, short, stored["key"], stored["webhook_secret"])
        elif rows.all_keys(session):
            return None
        issued = keys.create(session, "packshot up", scopes=set(keys.Scope))
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    text = json.dumps({"key": issued.token, "webhook_secret": issued.webhook_secret}, indent=2)
    file.write_text(text + "\n", encoding="utf-8")
    return issued
