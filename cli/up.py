"""`packshot up`: the whole service on this machine, in the foreground, until Ctrl-C or SIGTERM."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from cli.keys import KEY_FILE, first_key
from cli.output import console, errors, fail
from cli.processes import complete
from cli.stack import Stack, StackError
from config.settings import Settings
from db.session import build_engine, build_sessions
from jobs.keys import IssuedKey

# The first start makes a database, loads torch and the model, and measures runtimes, on a slow machine too.
READY_S = 180.0
_WATCH_S = 0.5


def up(
    port: Annotated[int | None, typer.Option(help="Port of the API, instead of PACKSHOT_PORT.")] = None,
) -> None:
    """Run the whole service: PostgreSQL and Valkey of its own unless their URLs are set, API and workers.

    Ctrl-C stops it in order; its data stay in the data folder.
    """
    settings = Settings() if port is None else complete(Settings(), port=port)
    with stop_signals() as stop:
        try:
            with run_stack(settings, stop) as (stack, key):
                if not stop.is_set():
                    _greet(stack, key)
                while not stop.wait(_WATCH_S):
                    for line in stack.watch():
                        errors.print(line, markup=False)
                console.print("Stopping.")
        except StackError as error:
            raise fail(str(error)) from None


@contextmanager
def run_stack(
    settings: Settings, stop: threading.Event | None = None, *, progress: Console = console
) -> Iterator[tuple[Stack, IssuedKey | None]]:
    """A stack that is ready, with its first key; stopped in order at the end. `StackError` when it can't start.

    Where `stop` is given and set, it comes before it is ready.
    """
    stack = Stack(settings)
    try:
        with progress.status("Starting the database and the broker"):
            stack.start_servers()
            engine = build_engine(stack.settings.require_database_url())
            key = first_key(build_sessions(engine), settings.data_dir)
            engine.dispose()
        with progress.status("Starting API and workers"):
            stack.start_services()
            stack.wait_until_ready(READY_S, watch=lambda: stop is None or not stop.is_set())
        yield stack, key
    finally:
        for name in stack.stop():
            errors.print(f"{name} did not stop in time and was killed", markup=False)


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; the old handlers are back afterwards."""
    stop = threading.Event()
    old = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM is like Ctrl-C: KeyboardInterrupt, so that whatever is under way ends and is tidied up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


def _greet(stack: Stack, key: IssuedKey | None) -> None:
    folder = stack.settings.data_dir
    lines = {"API": stack.url, "docs": f"{stack.url}/docs"}
    if key is None:
        lines["key"] = "this database has keys already; `packshot keys create NAME` makes another"
    else:
        lines |= {"key": key.token, "webhook secret": key.webhook_secret, "kept in": str(folder / KEY_FILE)}
    lines["logs"] = str(folder / "logs")
    console.print("Packshot is up. Ctrl-C stops it.")
    for name, text in lines.items():
        console.print(f"  {name:<15} {text}", markup=False)
