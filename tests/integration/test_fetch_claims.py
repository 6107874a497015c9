"""How io workers take downloads: fair between keys, by lane, busy hosts left, never twice, at a bounded cost."""

import time
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update

from db import outgoing
from db.batch_models import Batch
from db.fair_queues import bound
from db.models import Fetch, Job
from db.session import Sessions
from jobs import fetching
from jobs.fetching import ClaimedFetch
from jobs.ids import job_public_id
from jobs.lanes import Lane
from storage.local import LocalStorage
from tests import batch_rows
from tests.factories import make_job, make_key
from tests.racing import work_off

URL = "https://shop.example/mug.jpg"


def claim(
    sessions: Sessions, limit: int = 4, *busy_hosts: str, drawn: Lane = Lane.INTERACTIVE, keep: bool = True
) -> list[ClaimedFetch]:
    with sessions() as session:
        claimed = fetching.claim(session, limit=limit, lease_s=60, busy_hosts=busy_hosts, draw=lambda: drawn)
        session.commit() if keep else session.rollback()
    return claimed


def add(sessions: Sessions, key_id: UUID, url: str = URL) -> UUID:
    with sessions.begin() as session:
        return make_job(session, key_id, source=url).id


def fill(sessions: Sessions, rows: int, *, priority: int, host: str = "'shop.example'") -> UUID:
    """A key with that many photos to be downloaded, as a batch has them; `host` is SQL over `n`."""
    with sessions.begin() as session:
        key_id = make_key(session, "big").id
        columns = "api_key_id, status, priority, source_url, params"
        session.execute(
            text(
                f"INSERT INTO jobs (id, {columns}) SELECT gen_random_uuid(), :key, 'queued', :priority, "
                f"'https://' || {host} || '/mug.jpg', '{{}}' FROM generate_series(1, {rows}) AS n"
            ),
            {"key": key_id, "priority": priority},
        )
        outgoing.add_fetches(session, session.scalars(select(Job.id).where(Job.api_key_id == key_id)).all())
    with sessions.begin() as session:
        session.execute(text("ANALYZE fetches"))
    return key_id


@pytest.mark.parametrize("lane", list(Lane))
def test_another_keys_photo_is_fetched_ahead_of_a_whole_batch(sessions: Sessions, lane: Lane) -> None:
    """In whatever lane the batch is, and whatever lane is drawn."""
    fill(sessions, 5000, priority=lane)
    assert len(claim(sessions)) == 4
    with sessions.begin() as session:
        small = make_key(session, "small").id
    late = add(sessions, small)
    for drawn in Lane:
        assert [one.job_id for one in claim(sessions, 1, drawn=drawn, keep=False)] == [late]


def test_a_download_of_a_batch_tells_its_batch(sessions: Sessions, tmp_path: Path) -> None:
    batch_id = batch_rows.create(sessions, LocalStorage(tmp_path), b"{}")
    with sessions.begin() as session:
        key_id = session.get_one(Batch, batch_id).api_key_id
    job_id = add(sessions, key_id)
    with sessions.begin() as session:
        session.execute(update(Job).values(batch_id=batch_id, line=1))
    [claimed] = claim(sessions)
    assert claimed.about == {"job_id": job_public_id(job_id), "attempt": 1, "batch_id": f"batch_{batch_id.hex}"}


def test_keys_take_turns(sessions: Sessions) -> None:
    with sessions.begin() as session:
        first, second = make_key(session, "first").id, make_key(session, "second").id
    ids = {add(sessions, key): key for key in [first] * 4 + [second] * 2}
    together = claim(sessions, 4, keep=False)
    assert Counter(ids[one.job_id] for one in together) == {first: 2, second: 2}
    one_by_one = [ids[one.job_id] for _ in range(4) for one in claim(sessions, 1)]
    assert Counter(one_by_one[:2]) == Counter(one_by_one[2:]) == {first: 1, second: 1}


def test_lanes_follow_one_another_and_the_drawn_one_leads(sessions: Sessions) -> None:
    with sessions.begin() as session:
        key_id = make_key(session).id
    ids = {add(sessions, key_id): lane for lane in (Lane.BULK, Lane.NORMAL, Lane.INTERACTIVE)}
    with sessions.begin() as session:
        for job_id, lane in ids.items():
            session.execute(update(Fetch).where(Fetch.job_id == job_id).values(priority=lane))
    for drawn, order in ((Lane.INTERACTIVE, [0, 1, 2]), (Lane.NORMAL, [1, 0, 2]), (Lane.BULK, [2, 0, 1])):
        assert [ids[one.job_id] for one in claim(sessions, drawn=drawn, keep=False)] == order


def test_a_batch_on_a_busy_host_costs_nothing(sessions: Sessions) -> None:
    """10,000 rows of a busy host: the claim steps over them, and finds the one photo behind them at once."""
    key_id = fill(sessions, 10_000, priority=Lane.BULK)
    other = add(sessions, key_id, "https://Other.example:8443/mug.jpg")
    began = time.perf_counter()
    assert [one.job_id for one in claim(sessions, 4, "shop.example", keep=False)] == [other]
    assert claim(sessions, 4, "shop.example", "other.example:8443") == []
    assert time.perf_counter() - began < 0.5
    with sessions() as session:
        plan = "\n".join(session.scalars(text("EXPLAIN " + outgoing.FETCHES.sql), bound(4, ["shop.example"])).all())
    assert plan.count("ix_fetches_claim") >= 4
    assert "Seq Scan on fetches" not in plan


def test_every_host_of_very_many_gets_its_turn(sessions: Sessions) -> None:
    fill(sessions, 300, priority=Lane.BULK, host="'shop' || n || '.example'")
    taken: set[str] = set()
    while claimed := claim(sessions, 32):
        taken.update(one.host for one in claimed)
    assert len(taken) == 300


def test_racing_workers_never_share_a_download(sessions: Sessions) -> None:
    fill(sessions, 120, priority=Lane.BULK, host="'shop' || n % 7 || '.example'")
    taken = work_off(lambda: [one.job_id for one in claim(sessions)])
    assert len(taken) == 120
    assert set(taken.values()) == {1}
    with sessions() as session:
        assert session.scalar(select(func.max(Fetch.attempt))) == 1
