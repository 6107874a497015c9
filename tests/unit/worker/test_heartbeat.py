"""When a worker's process has to end."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from config.settings import Settings
from jobs.params import JobParams
from jobs.values import ClaimedJob
from worker.heartbeat import STALLED, Heartbeat, Identity
from worker.memory import MemoryBound
from worker.pulse import Pulse


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("worker.heartbeat.time.monotonic", clock)
    return clock


def job(number: int = 1) -> ClaimedJob:
    params = JobParams()
    return ClaimedJob(UUID(int=number), UUID(int=0), 2, params, "k", "0" * 64, 10**6, 0, {}, None, has_webhook=False)


def heartbeat(pulse: Pulse, *, left_lying: bool = False) -> tuple[Heartbeat, list[int]]:
    exits: list[int] = []
    sessions: Any = sessionmaker(create_engine("sqlite://"))
    settings = Settings(stall_s=100, shutdown_s=20)
    identity = Identity("gpu-1@test", "gpu")
    beats = Heartbeat(
        settings, sessions, identity, pulse, is_left_lying=lambda _: left_lying, exit_process=exits.append
    )
    return beats, exits


def test_a_worker_that_holds_jobs_and_stands_still_ends(clock: Clock) -> None:
    pulse = Pulse(clock)
    beats, exits = heartbeat(pulse)
    with pulse.working():
        pulse.hold([job()])
        clock.now = 99
        beats.check()
        assert exits == []
        pulse.moved()
        clock.now = 190
        beats.check()
        assert exits == []
        clock.now = 200
        beats.check()
        assert exits == [STALLED]


def test_a_worker_that_outgrew_its_bound_asks_to_leave_once_and_has_its_time(clock: Clock) -> None:
    held, asked, exits = [100], [], []
    beats = Heartbeat(
        Settings(shutdown_s=20),
        sessionmaker(create_engine("sqlite://")),
        Identity("gpu-1@test", "gpu"),
        Pulse(clock),
        is_left_lying=lambda _: False,
        memory=MemoryBound(100, lambda: held[0]),
        exit_process=exits.append,
        ask_to_leave=lambda: asked.append(clock.now),
    )
    beats.check()
    assert asked == []
    held[0] = 101
    clock.now = 1
    beats.check()
    clock.now = 2
    beats.check()
    assert (asked, exits) == ([1], [])


@pytest.mark.parametrize(("left_lying", "expected"), [(True, [STALLED]), (False, [])])
def test_an_idle_worker_ends_only_where_work_is_left_lying(
    clock: Clock, *, left_lying: bool, expected: list[int]
) -> None:
    beats, exits = heartbeat(Pulse(clock), left_lying=left_lying)
    clock.now = 101
    beats.check()
    assert exits == expected


def test_an_idle_worker_looks_once_in_a_while(clock: Clock) -> None:
    beats, exits = heartbeat(Pulse(clock), left_lying=False)
    clock.now = 101
    beats.check()
    beats._is_left_lying = lambda _: True
    beats.check()
    assert exits == []
    clock.now = 202
    beats.check()
    assert exits == [STALLED]


def test_leaving_takes_its_time_and_no_more(clock: Clock) -> None:
    beats, exits = heartbeat(Pulse(clock))
    beats._give_back = lambda: None
    clock.now = 10
    beats.leave()
    clock.now = 29
    beats.leave()  # does not start the clock anew
    beats.check()
    assert exits == []
    clock.now = 30
    beats.check()
    assert exits == [0]


def test_a_job_is_held_under_its_attempt(clock: Clock) -> None:
    pulse = Pulse(clock)
    pulse.hold([job(2), job(1)])
    assert pulse.held() == [(UUID(int=1), 2), (UUID(int=2), 2)]
    pulse.drop([job(1)])
    assert pulse.held() == [(UUID(int=2), 2)]
    pulse.count({"jobs": 1, "commit_ms": 5})
    pulse.count({"jobs": 1})
    assert pulse.totals() == {"jobs": 2, "commit_ms": 5}


def test_a_worker_whose_heartbeat_fell_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    beating, exits = heartbeat(Pulse())

    def fall() -> None:
        raise RuntimeError("no one thought of this")

    monkeypatch.setattr(beating, "check", fall)
    with pytest.raises(RuntimeError):
        beating._run()
    assert exits == [STALLED]
