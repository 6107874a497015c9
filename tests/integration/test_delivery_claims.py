"""How io workers take deliveries: fair between keys, busy receivers left, never twice, at a bounded cost."""

import time
from collections import Counter
from uuid import UUID

from sqlalchemy import func, select, text

from db.delivery_claims import DELIVERIES
from db.fair_queues import bound
from db.session import Sessions
from db.webhook_models import WebhookDelivery, WebhookEvent
from jobs import deliveries, service
from jobs.deliveries import ClaimedDelivery
from jobs.ids import job_public_id
from tests.factories import make_job, make_key
from tests.racing import work_off

URL = "https://shop.example/hook"


def claim(sessions: Sessions, limit: int = 4, *busy: str, keep: bool = True) -> list[ClaimedDelivery]:
    with sessions() as session:
        claimed = deliveries.claim(session, limit=limit, lease_s=60, busy_lanes=busy)
        session.commit() if keep else session.rollback()
    return claimed


def add(sessions: Sessions, key_id: UUID, url: str = URL) -> UUID:
    """The id of a delivery."""
    with sessions.begin() as session:
        job = make_job(session, key_id, webhook_url=url)
        service.cancel(session, job_public_id(job.id), api_key_id=key_id)
        of_job = select(WebhookDelivery.id).join(WebhookDelivery.event).where(WebhookEvent.job_id == job.id)
        return session.scalars(of_job).one()


def fill(sessions: Sessions, rows: int, *, host: str = "'shop.example'") -> UUID:
    """A key with that many deliveries of one event, all long due; `host` is SQL over `n`."""
    with sessions.begin() as session:
        key_id = make_key(session, "big").id
    add(sessions, key_id, "https://first.example/hook")
    with sessions.begin() as session:
        session.execute(
            text(
                "INSERT INTO webhook_deliveries (id, event_id, api_key_id, url, lane_md5, due_at) "
                f"SELECT gen_random_uuid(), event_id, api_key_id, 'https://' || {host} || '/hook', md5({host}), "
                f"now() - interval '1 hour' FROM webhook_deliveries, generate_series(1, {rows - 1}) AS n "
                "WHERE api_key_id = :key"
            ),
            {"key": key_id},
        )
    with sessions.begin() as session:
        session.execute(text("ANALYZE webhook_deliveries"))
    return key_id


def test_another_keys_event_goes_ahead_of_a_whole_backlog(sessions: Sessions) -> None:
    """Fifty thousand are due for longer than the one that comes now."""
    big = fill(sessions, 50_000)
    assert len(claim(sessions)) == 4
    with sessions.begin() as session:
        small = make_key(session, "small").id
    late = add(sessions, small)
    began = time.perf_counter()
    assert [one.id for one in claim(sessions, 1)] == [late]
    assert [one.target.api_key_id for one in claim(sessions, 1)] == [big]
    assert time.perf_counter() - began < 0.5
    with sessions() as session:
        plan = "\n".join(session.scalars(text("EXPLAIN " + DELIVERIES.sql), bound(4, ["shop.example"])).all())
    assert plan.count("ix_webhook_deliveries_claim") >= 4
    assert "ix_webhook_deliveries_list" not in plan
    assert "ix_webhook_deliveries_status" not in plan
    assert "Seq Scan on webhook_deliveries" not in plan


def test_keys_take_turns(sessions: Sessions) -> None:
    with sessions.begin() as session:
        first, second = make_key(session, "first").id, make_key(session, "second").id
    for key in [first] * 4 + [second] * 2:
        add(sessions, key)
    together = claim(sessions, 4, keep=False)
    assert Counter(one.target.api_key_id for one in together) == {first: 2, second: 2}
    one_by_one = [one.target.api_key_id for _ in range(4) for one in claim(sessions, 1)]
    assert Counter(one_by_one[:2]) == Counter(one_by_one[2:]) == {first: 1, second: 1}


def test_a_backlog_for_a_busy_receiver_costs_nothing(sessions: Sessions) -> None:
    key_id = fill(sessions, 10_000)
    other = add(sessions, key_id, "https://Other.example:8443/hook")
    began = time.perf_counter()
    assert [one.id for one in claim(sessions, 4, "shop.example", "first.example", keep=False)] == [other]
    assert claim(sessions, 4, "shop.example", "first.example", "other.example:8443") == []
    assert time.perf_counter() - began < 0.5


def test_every_receiver_of_very_many_gets_its_turn(sessions: Sessions) -> None:
    fill(sessions, 300, host="'shop' || n || '.example'")
    taken: set[str] = set()
    while claimed := claim(sessions, 32):
        taken.update(one.lane for one in claimed)
    assert len(taken) == 300


def test_racing_workers_never_share_a_delivery(sessions: Sessions) -> None:
    fill(sessions, 120, host="'shop' || n % 7 || '.example'")
    taken = work_off(lambda: [one.id for one in claim(sessions)])
    assert len(taken) == 120
    assert set(taken.values()) == {1}
    with sessions() as session:
        assert session.scalar(select(func.max(WebhookDelivery.attempt))) == 1
