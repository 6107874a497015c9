import random
from datetime import timedelta

from db.base import JobStatus
from jobs.ids import job_public_id, new_id, parse_job_id
from jobs.lifecycle import FINAL, TRANSITIONS, outage_delay, retry_delay, sources


def test_final_statuses_have_no_way_out() -> None:
    assert {"succeeded", "failed", "canceled", "expired"} == FINAL
    assert all(not TRANSITIONS[status] for status in FINAL)


def test_every_status_can_still_end() -> None:
    for status in set(JobStatus) - FINAL:
        assert TRANSITIONS[status] & FINAL


def test_only_work_in_hand_succeeds() -> None:
    assert sources(JobStatus.SUCCEEDED) == {JobStatus.PROCESSING}


def test_retries_wait_longer_each_time_up_to_a_bound() -> None:
    rng = random.Random(1)
    delays = [retry_delay(n, base_s=5, rng=rng) for n in range(12)]
    assert timedelta(seconds=4) <= delays[0] <= timedelta(seconds=6)
    assert delays[3] > delays[0]
    assert max(delays) <= timedelta(seconds=720)


def test_outages_wait_longer_each_time_up_to_a_bound() -> None:
    rng = random.Random(1)
    seconds = [[outage_delay(n, base_s=5, rng=rng).total_seconds() for _ in range(50)] for n in (0, 1, 2, 10_000)]
    for base, drawn in zip((5, 10, 20, 200), seconds, strict=True):
        assert 2 * base <= min(drawn) < 2.4 * base
        assert 3.6 * base < max(drawn) <= 4 * base


def test_public_ids_sort_by_time_and_come_back() -> None:
    ids = [new_id() for _ in range(50)]
    assert [parse_job_id(job_public_id(i)) for i in ids] == ids
    assert sorted(job_public_id(i) for i in ids) == [job_public_id(i) for i in ids]


def test_what_is_no_id_is_none() -> None:
    for text in (
        "",
        "job_",
        "job_x",
        "0" * 32,
        "job_" + "g" * 32,
        "job_" + "0" * 31,
        "job_\u0660" + "0" * 31,
        "job_-" + "0" * 31,
    ):
        assert parse_job_id(text) is None
