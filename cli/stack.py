"""The stack of one machine: embedded servers where no URL is set, then API, gpu worker, io worker and sweeper."""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

import httpx

from cli.ports import free_port, is_free
from cli.processes import Child, complete, exit_words, settings_environment
from config.settings import Settings
from db import workers
from db.migrate import upgrade
from db.session import build_engine, build_sessions

if TYPE_CHECKING:
    from cli.embedded import EmbeddedBroker, EmbeddedDatabase

# Stopped in this order: no new jobs first, then nobody rings, then the work ends.
SERVICES: dict[str, list[str]] = {
    "api": ["api"],
    "sweeper": ["worker", "sweeper"],
    "gpu": ["worker", "gpu"],
    "io": ["worker", "io"],
}
WORKER_KINDS = frozenset({"gpu", "io", "sweeper"})
_STOP_MARGIN_S = 10.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_LOCK_NAME = "up.lock"


class StackError(Exception):
    """The stack could not be started; the message says why and what helps."""


class FolderLock:
    """One stack per data folder. The kernel drops the lock with the process, so no stale one is left."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = (folder / _LOCK_NAME).open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise StackError(f"A stack already runs in {folder} ({holder}).") from None

    def describe(self, text: str) -> None:
        """Tell a second `packshot up` who holds the folder."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()

    def release(self) -> None:
        """Let the folder go."""
        self._file.close()


class Stack:
    """Everything that `packshot up` runs. `settings` are complete after `start`: their URLs are set."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings if settings.port else complete(settings, port=free_port())
        self.children: dict[str, Child] = {}
        self._lock = FolderLock(settings.data_dir)
        self._database: EmbeddedDatabase | None = None
        self._broker: EmbeddedBroker | None = None

    @property
    def url(self) -> str:
        """Where the API listens, as seen from this machine."""
        host = "127.0.0.1" if self.settings.host in {"0.0.0.0", "::"} else self.settings.host  # noqa: S104
        return f"http://{host}:{self.settings.port}"

    def start_servers(self) -> None:
        """Start PostgreSQL and Valkey where no URL is set, and bring the schema up to date."""
        # A machine with servers of its own need not have the packages of these.
        from cli.embedded import EmbeddedBroker, EmbeddedDatabase

        urls: dict[str, str] = {}
        folder = self.settings.data_dir
        if self.settings.database_url is None:
            self._database = EmbeddedDatabase(folder / "postgres")
            urls["database_url"] = self._database.url
        if self.settings.broker_url is None:
            self._broker = EmbeddedBroker(folder / "valkey")
            urls["broker_url"] = self._broker.url
        # As root the data folder is open to the database's user; photos are nobody's business all the same.
        if self.settings.storage.scheme == "file":
            self.settings.files_path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.settings.public_url is None and self.settings.host in _LOOPBACK:
            # Webhooks carry links too, and no request tells them the address.
            urls["public_url"] = self.url
        self.settings = complete(self.settings, **urls)
        upgrade(self.settings.require_database_url())
        self._lock.describe(f"process {os.getpid()}, {self.url}")

    def start_services(self, *names: str) -> None:
        """Start the named services, all of them without a name."""
        if "api" in (names or SERVICES) and not is_free(self.settings.port):
            raise StackError(f"Port {self.settings.port} is taken; choose another with --port or PACKSHOT_PORT.")
        for name in names or SERVICES:
            log = self.settings.data_dir / "logs" / f"{name}.log"
            environment = settings_environment(self._settings_of(name))
            self.children[name] = Child(name, SERVICES[name], environment=environment, log=log)
            self.children[name].start()

    def _settings_of(self, name: str) -> Settings:
        """Workers of one machine show their metrics at ports side by side, gpu last: it may take several."""
        first = self.settings.metrics_port
        offset = {"sweeper": 0, "io": 1, "gpu": 2}.get(name)
        if not first or offset is None:
            return self.settings
        return complete(self.settings, metrics_port=first + offset)

    def wait_until_ready(self, timeout_s: float, *, watch: Callable[[], bool] = lambda: True) -> None:
        """Wait for the API's /readyz and a heartbeat of every started worker.

        `watch` is asked in between; False gives up. `StackError` with the place of the log when a service falls or
        the time is over.
        """
        deadline = time.monotonic() + timeout_s
        wanted = WORKER_KINDS & self.children.keys()
        engine = build_engine(self.settings.require_database_url())
        sessions = build_sessions(engine)
        try:
            while True:
                for child in self.children.values():
                    if not child.is_running():
                        raise StackError(f"{child.name} {exit_words(child.returncode())}; see {child.log}")
                with sessions.begin() as session:
                    alive = {row.kind for row in workers.live(session, within_s=3 * self.settings.heartbeat_s)}
                if wanted <= alive and ("api" not in self.children or self._answers()):
                    return
                if not watch():
                    return
                if time.monotonic() > deadline:
                    raise StackError(f"not ready after {timeout_s:.0f} s; see {self.settings.data_dir / 'logs'}")
                time.sleep(0.1)
        finally:
            engine.dispose()

    def watch(self) -> list[str]:
        """Restart what fell; returns the news. To be called a few times a second."""
        now = time.monotonic()
        news = [child.watch(now) for child in self.children.values()]
        for name, server in (("PostgreSQL", self._database), ("Valkey", self._broker)):
            if server is not None and not server.is_running():
                server.restart()
                news.append(f"{name} died and was restarted")
        return [line for line in news if line]

    def stop(self) -> list[str]:
        """Stop everything in order; returns the names of services that had to be killed."""
        killed = []
        for name in SERVICES:
            if name in self.children:
                self.children[name].terminate()
        deadline = time.monotonic() + self.settings.shutdown_s + _STOP_MARGIN_S
        for name, child in self.children.items():
            if not child.wait(max(deadline - time.monotonic(), 0.1)):
                killed.append(name)
        if self._broker is not None:
            self._broker.stop()
        if self._database is not None:
            self._database.stop()
        self._lock.release()
        return killed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2, trust_env=False).is_success
        except httpx.TransportError:
            return False
