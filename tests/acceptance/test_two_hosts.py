"""API, database, broker and store on this host, workers on another; the cable between them is cut and mended.

`make test-hosts` runs it: it wants Linux and root, and waits for minutes.
"""

import json
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import text

from cli.ports import free_port
from cli.processes import settings_environment
from config.settings import Settings
from db import workers
from db.migrate import upgrade
from db.session import Sessions, build_engine, build_sessions
from jobs import keys
from tests.acceptance import conversions
from tests.acceptance.books import FINAL, check_rows, photos, statuses, wait_for
from tests.acceptance.hosts import (
    HERE,
    NETWORK,
    OtherHost,
    networked_broker,
    networked_database,
    other_host,
    start_here,
)
from tests.receivers import Receiver, reply
from tests.s3_server import CREDENTIALS, S3Server

LEASE_S = 8.0
NOTICED_S = 45.0
_ASK_LATER = """
import sys, time
from db.session import DATABASE_AWAY, build_engine
connection = build_engine(sys.argv[1]).connect()
print(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar(), flush=True)
connection.commit()
input()
begun = time.monotonic()
try:
    connection.exec_driver_sql("SELECT 1")
except DATABASE_AWAY:
    print(time.monotonic() - begun, flush=True)
"""
"""Holds a connection, uses it again when told, and tells how long its failure took."""
LONG_CUT_S = 45.0
"""Longer than leases live and than a silent connection is believed in."""


class Hosts:
    """The service on two hosts, and who hears of its jobs."""

    def __init__(self, other: OtherHost, settings: Settings, receiver: Receiver, folder: Path) -> None:
        self.other, self.settings, self.receiver, self.folder = other, settings, receiver, folder
        self.engine = build_engine(settings.require_database_url())
        self.sessions: Sessions = build_sessions(self.engine)
        with self.sessions.begin() as session:
            key = keys.create(session, "hosts")
        self.client = httpx.Client(
            base_url=f"http://{HERE}:{settings.port}",
            headers={"Authorization": f"Bearer {key.token}"},
            timeout=30,
            trust_env=False,
        )
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        here = settings_environment(self.settings) | CREDENTIALS
        api = start_here(["api"], here, self.folder / "api.log")
        # Over there is a disk of its own too.
        there = here | {"PACKSHOT_DATA_DIR": str(self.folder / "there")}
        conversions.lend(self.folder / "there")
        self.processes = [
            api,
            *(
                self.other.start(["worker", kind], there, self.folder / f"{kind}.log")
                for kind in ("gpu", "io", "sweeper")
            ),
        ]
        deadline = time.monotonic() + 240
        while {"gpu", "io", "sweeper"} - self.beating(within_s=3):
            assert time.monotonic() < deadline, "the workers never came up"
            assert {each.poll() for each in self.processes} == {None}, f"one fell: see the logs in {self.folder}"
            time.sleep(0.2)
        conversions.keep(self.folder / "there")

    def beating(self, *, within_s: float) -> set[str]:
        with self.sessions() as session:
            return {row.kind for row in workers.live(session, within_s=within_s)}

    def submit(self, bodies: list[bytes]) -> list[str]:
        ids = []
        for body in bodies:
            data = {"webhook_url": f"http://{HERE}:{self.receiver.port}/hook"}
            answer = self.client.post("/v1/jobs", files={"image_file": ("photo.jpg", body)}, data=data)
            assert answer.status_code == httpx.codes.ACCEPTED, answer.text
            ids.append(str(answer.json()["id"]))
        return ids

    def wait_final(self, ids: list[str], *, timeout_s: float) -> float:
        """Seconds that it took."""
        begun = time.monotonic()
        while sum(statuses(self.sessions, ids)[status] for status in FINAL) < len(ids):
            assert time.monotonic() - begun < timeout_s, statuses(self.sessions, ids)
            time.sleep(0.1)
        return time.monotonic() - begun

    def events(self) -> Counter[str]:
        """How often which job's end was heard of, by event."""
        return Counter(
            (received.headers["webhook-id"] + " " + json.loads(received.body)["data"]["id"])
            for received in self.receiver.received
        )

    def check(self, ids: list[str]) -> None:
        """One final status, one event, one set of files each, and every file can be fetched whole."""
        check_rows(self.sessions, ids)
        assert statuses(self.sessions, ids) == {"succeeded": len(ids)}
        for job_id in ids:
            [output] = self.client.get(f"/v1/jobs/{job_id}").json()["outputs"]
            file = self.client.get(output["url"], follow_redirects=True)
            assert len(file.content) == output["bytes"]
        deadline = time.monotonic() + 60
        while {event.split()[1] for event in self.events()} < set(ids):
            assert time.monotonic() < deadline, "somebody never heard of a job"
            time.sleep(0.2)
        heard = Counter(event.split()[1] for event in self.events())
        assert {heard[job_id] for job_id in ids} == {1}, "two events of one job"

    def close(self) -> None:
        self.client.close()
        for process in self.processes:
            for each in (*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)):
                each.kill()
            process.wait()
        self.engine.dispose()


@contextmanager
def _hosts(folder: Path) -> Iterator[Hosts]:
    with ExitStack() as stack:
        other = stack.enter_context(other_host())
        database = stack.enter_context(networked_database(folder / "postgres"))
        broker = stack.enter_context(networked_broker(folder / "valkey"))
        upgrade(database)
        (folder / "s3").mkdir()
        store = S3Server(folder / "s3", host=HERE)
        stack.callback(store.stop)
        store.make_bucket("photos")
        receiver = stack.enter_context(Receiver(lambda _: reply(200), host=HERE))
        settings = Settings(
            database_url=database,
            broker_url=broker,
            storage_url="s3://photos/here",
            storage_endpoint=store.endpoint,
            data_dir=folder / "here",
            egress_allow=(f"{NETWORK}:{receiver.port}",),
            host=HERE,
            port=free_port(),
            lease_s=LEASE_S,
            sweep_s=0.5,
            heartbeat_s=1,
            retry_backoff_s=0.5,
        )
        hosts = Hosts(other, settings, receiver, folder)
        stack.callback(hosts.close)
        hosts.start()
        yield hosts


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    # In /tmp: as root the database runs under a user of its own, which must reach the folder.
    folder = Path("/tmp/packshot-hosts")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o755)
    with _hosts(folder) as hosts:
        yield hosts
    shutil.rmtree(folder)


def test_work_crosses_the_cable(hosts: Hosts) -> None:
    ids = hosts.submit(photos(4))
    hosts.wait_final(ids, timeout_s=120)
    hosts.check(ids)


@pytest.mark.parametrize("cut_s", [3.0, LONG_CUT_S])
def test_a_cable_cut_in_mid_work_loses_nothing(hosts: Hosts, cut_s: float) -> None:
    first = round(cut_s) * 100
    ids = hosts.submit(photos(16, first=first))
    wait_for(hosts.sessions, ids, "processing")
    hosts.other.cut()
    begun = time.monotonic()
    ids += hosts.submit(photos(4, first=first + 50))  # the API takes more, and says so
    assert hosts.client.get("/readyz").is_success
    time.sleep(max(0.0, cut_s - (time.monotonic() - begun)))
    before = statuses(hosts.sessions, ids)
    assert before["succeeded"] < len(ids)
    hosts.other.mend()
    took_s = hosts.wait_final(ids, timeout_s=180)
    print(f"cut for {cut_s:.0f} s; {len(ids) - before['succeeded']} jobs were left, done {took_s:.0f} s after")  # noqa: T201 - the figure that it is run for
    hosts.check(ids)


def test_both_ends_notice_a_silent_cable(hosts: Hosts) -> None:
    url = hosts.settings.require_database_url()
    far = hosts.other.ask_over_there(_ASK_LATER, url)
    backend = int(far.stdout.readline())
    hosts.other.cut()
    begun = time.monotonic()
    far.stdin.write("go\n")
    far.stdin.flush()
    client_s = float(far.stdout.readline())
    assert client_s < NOTICED_S
    with hosts.sessions() as session:
        while session.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid"), {"pid": backend}):
            assert time.monotonic() - begun < NOTICED_S
            time.sleep(0.5)
    server_s = time.monotonic() - begun
    print(f"silence was noticed after {client_s:.0f} s there, {server_s:.0f} s here")  # noqa: T201 - the figure that it is run for
    hosts.other.mend()
    assert far.wait(10) == 0
    far.stdin.close()
    far.stdout.close()


def test_an_idle_worker_behind_a_cut_finds_what_came_meanwhile(hosts: Hosts) -> None:
    hosts.other.cut()
    ids = hosts.submit(photos(4, first=9000))
    time.sleep(LONG_CUT_S)
    assert not hosts.beating(within_s=10)
    hosts.other.mend()
    hosts.wait_final(ids, timeout_s=90)
    hosts.check(ids)
    assert hosts.beating(within_s=10) == {"gpu", "io", "sweeper"}


def test_a_cable_with_a_loose_contact(hosts: Hosts) -> None:
    ids: list[str] = []
    done = threading.Event()

    def shake() -> None:
        while not done.is_set():
            hosts.other.cut()
            done.wait(1.0)
            hosts.other.mend()
            done.wait(2.0)

    shaking = threading.Thread(target=shake)
    shaking.start()
    try:
        ids = hosts.submit(photos(20, first=20_000))
        hosts.wait_final(ids, timeout_s=240)
    finally:
        done.set()
        shaking.join()
    hosts.check(ids)
