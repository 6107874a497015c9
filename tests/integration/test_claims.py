"""How workers take rows: by priority, fair between keys, never twice, guarded by attempt."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update

from db.base import JobStatus, Verdict
from db.models import Fetch, Job, Output
from db.session import Sessions
from db.webhook_models import WebhookDelivery, WebhookEvent
from jobs import claiming, deadlines, service, work
from jobs.errors import JobError
from jobs.ids import job_public_id, new_id
from jobs.lanes import Lane
from jobs.values import ClaimedJob, NewMatte, Outcome, StoredOutput
from tests.factories import make_job, make_key
from tests.racing import work_off

TERMS = claiming.Terms(
    worker="gpu0@test", lease_s=60, resolve=lambda _: ("unet-fast@1", "torch"), draw=lambda: Lane.INTERACTIVE
)


def claim(
    sessions: Sessions, limit: int = 8, megapixels: float = 1e6, terms: claiming.Terms = TERMS
) -> list[ClaimedJob]:
    with sessions.begin() as session:
        return claiming.claim(session, terms, limit=limit, megapixels=megapixels)


def outcome(job: ClaimedJob, matte: NewMatte | None = None) -> Outcome:
    stored = StoredOutput("cutout", f"jobs/{job.id.hex}/{job.attempt}/cutout.png", "png", "0" * 64, 10, 10, 100)
    return Outcome([stored], Verdict.PASS, [], {}, "unet-fast@1", "torch", {"infer_ms": 5}, matte)


def test_claim_leases_and_counts_the_attempt(sessions: Sessions) -> None:
    with sessions.begin() as session:
        job_id = make_job(session, make_key(session).id).id
    [claimed] = claim(sessions)
    assert (claimed.id, claimed.attempt) == (job_id, 1)
    with sessions() as session:
        job = session.get_one(Job, job_id)
        assert job.status is JobStatus.PROCESSING
        assert job.worker == "gpu0@test"
        left = session.scalar(select(Job.leased_until - func.now()).where(Job.id == job_id))
        assert timedelta(seconds=50) < left <= timedelta(seconds=60)
    assert claim(sessions) == []


def test_a_row_that_cant_be_read_fails_alone(sessions: Sessions) -> None:
    with sessions.begin() as session:
        key_id = make_key(session).id
        no_options, no_photo, good = (make_job(session, key_id).id for _ in range(3))
        session.execute(update(Job).where(Job.id == no_options).values(params={"outputs": None}))
        session.execute(update(Job).where(Job.id == no_photo).values(input_key=None))
    assert [job.id for job in claim(sessions, limit=2)] == [good]
    with sessions() as session:
        ended = [session.get_one(Job, job_id) for job_id in (no_options, no_photo)]
        assert [(job.status, job.error_code) for job in ended] == [
            (JobStatus.FAILED, "job_broke"),
            (JobStatus.FAILED, "source_lost"),
        ]


def test_priority_goes_first_then_keys_take_turns(sessions: Sessions) -> None:
    with sessions.begin() as session:
        big, small = make_key(session, "big").id, make_key(session, "small").id
        for _ in range(20):
            make_job(session, big)
        late = make_job(session, small).id
        urgent = make_job(session, big).id
        session.execute(update(Job).where(Job.id == urgent).values(priority=0))
    first = claim(sessions, limit=3)
    assert first[0].id == urgent
    assert late in {job.id for job in first[1:]}


def test_another_keys_photo_goes_ahead_of_all_that_is_not_in_flight(sessions: Sessions) -> None:
    with sessions.begin() as session:
        big, small = make_key(session, "big").id, make_key(session, "small").id
        for _ in range(20):
            make_job(session, big)
    claim(sessions, limit=1)
    with sessions.begin() as session:
        late = make_job(session, small).id
    [chosen] = claim(sessions, limit=1)
    assert chosen.id == late


def fill(sessions: Sessions, rows: int, *, priority: int) -> UUID:
    """A key with that many queued photos, as a batch has them."""
    with sessions.begin() as session:
        key = make_key(session, "big").id
        first = make_job(session, key)
        session.execute(update(Job).where(Job.id == first.id).values(priority=priority))
        columns = "api_key_id, status, priority, due_at, input_key, input_sha256, input_width, input_height, params"
        session.execute(
            text(
                f"INSERT INTO jobs (id, {columns}) "
                f"SELECT gen_random_uuid(), {columns} FROM jobs, generate_series(2, {rows})"
            )
        )
    return key


@pytest.mark.parametrize(("lane", "size"), [(Lane.INTERACTIVE, 500), (Lane.NORMAL, 500), (Lane.BULK, 50_000)])
def test_another_keys_photo_goes_ahead_of_a_whole_batch(sessions: Sessions, lane: Lane, size: int) -> None:
    """In whatever lane the batch is: a photo in the normal lane is the very next one that is claimed."""
    fill(sessions, size, priority=lane)
    with sessions.begin() as session:
        session.execute(text("ANALYZE jobs"))
    assert len(claim(sessions)) == 8
    with sessions.begin() as session:
        late = make_job(session, make_key(session, "small").id).id
    for drawn in Lane:
        terms = replace(TERMS, draw=lambda drawn=drawn: drawn)
        with sessions() as session:  # not committed: the same question for each draw
            chosen = claiming.claim(session, terms, limit=1, megapixels=100)
            session.rollback()
        assert [job.id for job in chosen] == [late]


def test_lanes_follow_one_another_and_the_drawn_one_leads(sessions: Sessions) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        ids = {}
        for lane in (Lane.BULK, Lane.NORMAL, Lane.INTERACTIVE):
            for n in range(3):
                ids[make_job(session, key).id] = (lane, n)
                session.execute(update(Job).where(Job.id == list(ids)[-1]).values(priority=lane))

    def order(drawn: Lane) -> list[tuple[Lane, int]]:
        with sessions() as session:
            claimed = claiming.claim(session, replace(TERMS, draw=lambda: drawn), limit=8, megapixels=100)
            session.rollback()
        return [ids[job.id] for job in claimed]

    inner, normal, bulk = ([(lane, n) for n in range(3)] for lane in Lane)
    assert order(Lane.INTERACTIVE) == [*inner, *normal, *bulk[:2]]
    assert order(Lane.NORMAL) == [normal[0], *inner, *normal[1:], *bulk[:2]]
    assert order(Lane.BULK) == [bulk[0], *inner, *normal, bulk[1]]


def test_a_job_past_its_deadline_is_never_claimed(sessions: Sessions) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        late = [make_job(session, key, webhook_url="https://catalog.example/hook").id for _ in range(12)]
        session.execute(update(Job).values(deadline_at=func.now() - timedelta(seconds=1)))
        timely = make_job(session, key).id
        session.execute(update(Job).where(Job.id == timely).values(deadline_at=func.now() + timedelta(hours=1)))
    # More late ones than a claim looks at, and the timely one is found all the same.
    assert [job.id for job in claim(sessions, limit=8)] == [timely]
    with sessions() as session:
        ended = session.scalars(select(Job).where(Job.id.in_(late))).all()
        assert {job.status for job in ended} == {JobStatus.EXPIRED}
        assert all(job.completed_at and job.expires_at and job.due_at is None for job in ended)
        assert session.scalars(select(WebhookEvent.type)).all() == ["job.expired"] * 12


def test_the_sweeper_expires_what_waits_and_what_is_worked_on(sessions: Sessions) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        make_job(session, key)
        fetched = make_job(session, key, source="https://shop.example/mug.jpg").id
    [held] = claim(sessions)
    with sessions.begin() as session:
        done = make_job(session, key).id
        service.cancel(session, job_public_id(done), api_key_id=key)
        session.execute(update(Job).values(deadline_at=func.now()))
    with sessions.begin() as session:
        assert deadlines.expire_overdue(session, limit=10) == 2
    with sessions.begin() as session:
        assert not work.complete(session, held, outcome(held))  # too late
        statuses = dict(session.execute(select(Job.id, Job.status)).all())
        assert statuses == {held.id: JobStatus.EXPIRED, fetched: JobStatus.EXPIRED, done: JobStatus.CANCELED}
        assert session.scalar(select(func.count()).select_from(Fetch)) == 0
        assert deadlines.expire_overdue(session, limit=10) == 0


def test_a_worker_that_finishes_before_the_sweep_wins(sessions: Sessions) -> None:
    with sessions.begin() as session:
        make_job(session, make_key(session).id)
    [held] = claim(sessions)
    with sessions.begin() as session:
        session.execute(update(Job).values(deadline_at=func.now()))
    with sessions.begin() as session:
        assert work.complete(session, held, outcome(held))
        assert deadlines.expire_overdue(session, limit=10) == 0


def test_claim_is_bounded_in_megapixels_but_never_empty(sessions: Sessions) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        for _ in range(5):
            make_job(session, key)  # one megapixel each
    assert len(claim(sessions, limit=8, megapixels=2.5)) == 2
    assert len(claim(sessions, limit=8, megapixels=0.1)) == 1


def test_racing_workers_never_share_a_row(sessions: Sessions) -> None:
    with sessions.begin() as session:
        keys = [make_key(session, f"key {n}").id for n in range(3)]
        for n in range(90):
            make_job(session, keys[n % 3])
    taken = work_off(lambda: [job.id for job in claim(sessions, limit=4)])
    assert len(taken) == 90
    assert set(taken.values()) == {1}


def test_complete_writes_outputs_and_event_in_one_commit(sessions: Sessions) -> None:
    with sessions.begin() as session:
        make_job(session, make_key(session).id, webhook_url="https://catalog.example/hook")
    [job] = claim(sessions)
    with sessions.begin() as session:
        assert work.complete(session, job, outcome(job))
    with sessions() as session:
        assert session.get_one(Job, job.id).status is JobStatus.SUCCEEDED
        assert session.scalars(select(Output.name)).all() == ["cutout"]
        assert session.scalars(select(WebhookEvent.type)).all() == ["job.succeeded"]
        assert session.scalars(select(WebhookDelivery.url)).all() == ["https://catalog.example/hook"]


def test_a_late_workers_finish_is_refused(sessions: Sessions) -> None:
    with sessions.begin() as session:
        make_job(session, make_key(session).id)
    [late] = claim(sessions)
    with sessions.begin() as session:
        session.execute(update(Job).values(leased_until=func.now() - timedelta(seconds=1)))
    with sessions.begin() as session:
        assert work.return_lost(session, max_crashes=3, limit=10) == 1
    with sessions.begin() as session:
        [second] = claiming.claim_suspect(session, TERMS)
    assert second.attempt == 2
    with sessions.begin() as session:
        assert not work.complete(session, late, outcome(late))
        assert not work.fail(session, late, JobError("x", "y"))
        work.release(session, [(late.id, late.attempt)])
    with sessions.begin() as session:
        assert session.get_one(Job, late.id).status is JobStatus.PROCESSING
        assert work.complete(session, second, outcome(second))
        assert session.scalars(select(WebhookEvent.type)).all() == ["job.succeeded"]


def test_a_suspect_is_kept_from_healthy_work_and_fails_after_its_crashes(sessions: Sessions) -> None:
    with sessions.begin() as session:
        make_job(session, make_key(session).id)
    crashes = 0
    take = claim(sessions)
    while take:
        crashes += 1
        with sessions.begin() as session:
            session.execute(update(Job).values(leased_until=func.now()).where(Job.status == "processing"))
        with sessions.begin() as session:
            work.return_lost(session, max_crashes=3, limit=10)
        assert claim(sessions) == []  # never among healthy work again
        with sessions.begin() as session:
            take = claiming.claim_suspect(session, TERMS)
    assert crashes == 4
    with sessions() as session:
        job = session.scalars(select(Job)).one()
        assert (job.status, job.error_code) == (JobStatus.FAILED, "worker_crashed")
        assert session.scalars(select(WebhookEvent.type)).all() == ["job.failed"]


def test_a_passing_fault_is_retried_later_and_then_fails(sessions: Sessions) -> None:
    with sessions.begin() as session:
        make_job(session, make_key(session).id)
    fault = JobError("out_of_memory", "full", retryable=True)
    for tries in range(3):
        [job] = claim(sessions)
        with sessions.begin() as session:
            assert work.retry_or_fail(session, job, fault, max_retries=2, backoff_s=60)
        assert claim(sessions) == []  # not due yet
        with sessions.begin() as session:
            session.execute(update(Job).where(Job.status == "queued").values(due_at=func.now()))
            assert session.scalars(select(Job.retries)).one() == tries + 1
    with sessions() as session:
        assert session.scalars(select(Job.status)).one() is JobStatus.FAILED


def test_a_matte_is_found_again_by_the_same_key_only(sessions: Sessions) -> None:
    with sessions.begin() as session:
        mine, other = make_key(session, "mine").id, make_key(session, "other").id
        sha = make_job(session, mine).input_sha256
    [job] = claim(sessions)
    with sessions.begin() as session:
        kept = NewMatte(new_id(), "mattes/1.png", "0" * 64, 10, 10, 100)
        work.complete(session, job, outcome(job, kept))
        make_job(session, mine)
        make_job(session, other)
        session.execute(update(Job).values(input_sha256=sha))
    again = {j.api_key_id: j.matte for j in claim(sessions)}
    assert again[mine] is not None
    assert again[mine].id == kept.id
    assert again[other] is None
