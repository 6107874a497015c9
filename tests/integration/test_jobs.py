"""Keys, submit, pages, cancel, delete, and the files that go with the last user."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, text, update

from db import keys as key_rows
from db import outgoing, purging
from db.base import JobStatus
from db.models import Fetch, Job, Matte, Output
from db.session import Sessions
from db.webhook_models import WebhookEvent
from jobs import keys, outputs, service, work
from jobs.errors import JobNotCancelableError, JobNotFoundError
from jobs.ids import job_public_id, new_id
from jobs.output_params import OutputParams
from jobs.values import NewMatte
from tests.factories import make_job, make_key
from tests.integration.test_claims import claim, outcome


def test_a_key_is_shown_once_and_only_its_hash_is_kept(sessions: Sessions) -> None:
    with sessions.begin() as session:
        issued = make_key(session)
    with sessions.begin() as session:
        assert keys.authenticate(session, issued.token) == keys.Caller(issued.id, keys.DEFAULT_SCOPES)
        assert keys.authenticate(session, issued.token)
        [stored] = keys.find(session, issued.id).secrets
        assert issued.token.split("_", 3)[3] not in str(vars(stored))
        assert stored.last_used_at <= datetime.now(UTC)


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-1] + ("A" if t[-1] != "A" else "B"), lambda t: t[:20], lambda _: "", str.upper]
)
def test_a_wrong_key_is_refused(sessions: Sessions, spoil) -> None:
    with sessions.begin() as session:
        issued = make_key(session)
        assert keys.authenticate(session, spoil(issued.token)) is None


def test_an_ended_key_is_refused(sessions: Sessions) -> None:
    with sessions.begin() as session:
        expired = keys.create(session, "old", expires_at=datetime.now(UTC) - timedelta(seconds=1))
        revoked = make_key(session)
        assert key_rows.revoke(session, revoked.id)
        assert not key_rows.revoke(session, revoked.id)
        assert keys.authenticate(session, expired.token) is None
        assert keys.authenticate(session, revoked.token) is None


def test_another_keys_job_is_not_there(sessions: Sessions) -> None:
    with sessions.begin() as session:
        mine, other = make_key(session), make_key(session)
        public_id = job_public_id(make_job(session, mine.id).id)
        assert service.find(session, public_id, api_key_id=mine.id)
        with pytest.raises(JobNotFoundError):
            service.find(session, public_id, api_key_id=other.id)
        with pytest.raises(JobNotFoundError):
            service.cancel(session, public_id, api_key_id=other.id)
        with pytest.raises(JobNotFoundError):
            service.delete(session, public_id, api_key_id=other.id)


def test_pages_are_stable_while_jobs_arrive(sessions: Sessions) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        ids = [job_public_id(make_job(session, key).id) for _ in range(5)]
        first, more = service.page(session, api_key_id=key, limit=2)
        assert more
        newer = job_public_id(make_job(session, key).id)
        second, more = service.page(session, api_key_id=key, limit=2, starting_after=job_public_id(first[-1].id))
        assert [job_public_id(j.id) for j in [*first, *second]] == ids[:0:-1]
        assert more
        back, more = service.page(session, api_key_id=key, limit=2, ending_before=job_public_id(second[0].id))
        assert [j.id for j in back] == [j.id for j in first]
        assert more
        top, more = service.page(session, api_key_id=key, limit=2, ending_before=ids[-1])
        assert [job_public_id(j.id) for j in top] == [newer]
        assert not more


def test_a_canceled_job_is_final_and_its_worker_is_refused(sessions: Sessions) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        public_id = job_public_id(make_job(session, key).id)
    [job] = claim(sessions)
    with sessions.begin() as session:
        assert service.cancel(session, public_id, api_key_id=key).status is JobStatus.CANCELED
    with sessions.begin() as session:
        assert not work.complete(session, job, outcome(job))
        with pytest.raises(JobNotCancelableError):
            service.cancel(session, public_id, api_key_id=key)
        assert session.scalars(select(WebhookEvent.type)).all() == ["job.canceled"]


def test_a_canceled_download_is_not_made(sessions: Sessions) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        job = make_job(session, key, source="https://shop.example/shoe.jpg")
        assert job.due_at is None
        assert claim(sessions) == []
        service.cancel(session, job_public_id(job.id), api_key_id=key)
        assert outgoing.claim_fetches(session, limit=5, lease_s=60) == []
        assert session.scalars(select(Fetch)).all() == []


def test_the_matte_goes_with_its_last_user(sessions: Sessions) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        first = make_job(session, key)
        second = make_job(session, key)
        session.execute(update(Job).values(input_sha256="a" * 64))
        ids = [job_public_id(first.id), job_public_id(second.id)]
    for job in claim(sessions, limit=1) + claim(sessions, limit=1):
        with sessions.begin() as session:
            kept = NewMatte(new_id(), f"mattes/{job.id.hex}.png", "0" * 64, 10, 10, 100)
            work.complete(session, job, outcome(job, kept))
    with sessions.begin() as session:
        [matte] = session.scalars(select(Matte)).all()
        purge = service.delete(session, ids[0], api_key_id=key)
        assert matte.key not in purge.keys
        assert len(purge.keys) == 2  # original and cutout
    with sessions.begin() as session:
        with pytest.raises(JobNotFoundError):
            service.find(session, ids[0], api_key_id=key)
        purge = service.delete(session, ids[1], api_key_id=key)
        assert matte.key in purge.keys
        assert session.scalar(select(func.count()).select_from(Matte)) == 0


def test_delete_cancels_what_still_runs(sessions: Sessions) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        public_id = job_public_id(make_job(session, key).id)
    claim(sessions)
    with sessions.begin() as session:
        purge = service.delete(session, public_id, api_key_id=key)
        assert [k.rsplit("/", 1)[1] for k in purge.keys] == ["input"]
        assert session.scalars(select(Job.status)).one() is JobStatus.CANCELED


def test_a_delete_takes_the_output_that_was_just_asked_for(sessions: Sessions) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        public_id = job_public_id(make_job(session, key).id)
    [job] = claim(sessions)
    with sessions.begin() as session:
        kept = NewMatte(new_id(), f"mattes/{job.id.hex}.png", "0" * 64, 10, 10, 100)
        work.complete(session, job, outcome(job, kept))

    def delete() -> None:
        with sessions.begin() as session:
            service.delete(session, public_id, api_key_id=key)

    def is_blocked() -> bool:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        with sessions() as session:  # of its own: a transaction sees activity as it first was
            return bool(session.scalar(text(waiting)))

    deleting = threading.Thread(target=delete)
    with sessions.begin() as asked:
        outputs.add(asked, public_id, OutputParams("more"), api_key_id=key)
        deleting.start()
        ends_at = time.monotonic() + 10
        while not is_blocked():
            assert time.monotonic() < ends_at, "the delete did not wait for the request that came first"
            time.sleep(0.01)
    deleting.join()
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Output)) == 0
        assert session.scalars(select(Job.deleted_at)).one() is not None


def test_rows_and_files_end_with_their_retention(sessions: Sessions) -> None:
    with sessions.begin() as session:
        make_job(session, make_key(session).id)
    [job] = claim(sessions)
    with sessions.begin() as session:
        work.complete(session, job, outcome(job))
        now = datetime.now(UTC)
        assert purging.due_for_purge(session, limit=10) == []
        session.execute(update(Job).values(expires_at=func.now()))
        [old] = purging.due_for_purge(session, limit=10)
        assert purging.named_keys(session, ["jobs/none/input", old.input_key]) == {old.input_key}
        assert len(purging.purge_files(session, old).keys) == 2
        assert purging.delete_rows(session, older_than=now + timedelta(seconds=5), limit=10) == 1
        assert session.scalar(select(func.count()).select_from(WebhookEvent)) == 0
