"""What waits: by lane and kind of errand, as alerts and autoscalers ask for it."""

from datetime import timedelta

from sqlalchemy import func, select, update

from db.batch_models import Batch
from db.models import Fetch, Job
from db.queue_figures import due_errands, due_jobs
from db.session import Sessions
from db.webhook_models import WebhookDelivery
from jobs import service
from jobs.ids import job_public_id
from jobs.lanes import Lane
from tests.factories import make_job, make_key


def test_due_jobs_by_lane(sessions: Sessions) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        jobs = [make_job(session, key).id for _ in range(5)]
        make_job(session, key, source="https://shop.example/a.jpg")  # not due before it is fetched
        old = func.now() - timedelta(minutes=5)
        session.execute(update(Job).where(Job.id == jobs[0]).values(priority=Lane.BULK, due_at=old))
        session.execute(update(Job).where(Job.id == jobs[1]).values(crashes=1, due_at=old))
        session.execute(update(Job).where(Job.id == jobs[2]).values(due_at=func.now() + timedelta(minutes=5)))
        service.cancel(session, job_public_id(jobs[3]), api_key_id=key)
    with sessions() as session:
        found = due_jobs(session)
    assert {lane: waiting.count for lane, waiting in found.items()} == {Lane.NORMAL: 2, Lane.BULK: 1}
    assert all(300 <= waiting.oldest_s < 360 for waiting in found.values())


def test_due_errands_by_kind(sessions: Sessions) -> None:
    with sessions() as session:
        empty = due_errands(session)
    assert {kind: (waiting.count, waiting.oldest_s) for kind, waiting in empty.items()} == {
        "fetch": (0, 0.0),
        "put": (0, 0.0),
        "webhook": (0, 0.0),
        "batch": (0, 0.0),
    }
    with sessions.begin() as session:
        key = make_key(session).id
        make_job(session, key, source="https://shop.example/a.jpg")
        for _ in range(2):
            job = make_job(session, key, webhook_url="https://shop.example/hook")
            service.cancel(session, job_public_id(job.id), api_key_id=key)
        first = select(WebhookDelivery.id).limit(1).scalar_subquery()
        later = func.now() + timedelta(minutes=5)
        session.execute(update(WebhookDelivery).where(WebhookDelivery.id == first).values(due_at=later))
    with sessions() as session:
        assert {kind: waiting.count for kind, waiting in due_errands(session).items()} == {
            "fetch": 1,
            "put": 0,
            "webhook": 1,
            "batch": 0,
        }
        assert session.scalars(select(func.count()).select_from(Batch)).one() == 0
        assert session.scalars(select(func.count()).select_from(Fetch)).one() == 1
