import threading
from concurrent.futures import ThreadPoolExecutor

from storage.breaker import Breaker, BreakerState


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def build(failures: int = 2, **terms: float) -> tuple[Breaker, Clock]:
    clock = Clock()
    return Breaker(failures=failures, pause_s=10.0, clock=clock, **terms), clock


def test_it_opens_after_failures_in_a_row() -> None:
    breaker, _ = build()
    assert (breaker.fail(), breaker.succeed(), breaker.fail()) == (False, False, False)
    assert (breaker.state, breaker.admit()) == (BreakerState.CLOSED, True)
    assert breaker.fail(), "the second in a row"
    assert (breaker.state, breaker.admit(), breaker.pause_left_s) == (BreakerState.OPEN, False, 10.0)


def test_after_the_pause_one_tries_and_the_others_wait_for_how_it_fares() -> None:
    breaker, clock = build()
    breaker.fail(), breaker.fail()
    clock.now_s += 10.0
    assert breaker.state is BreakerState.HALF_OPEN
    assert [breaker.admit() for _ in range(3)] == [True, False, False]
    clock.now_s += 1000.0
    assert (breaker.admit(), breaker.state) == (False, BreakerState.OPEN), "it has not reported yet"
    assert not breaker.fail(), "it was open before"
    assert (breaker.admit(), breaker.pause_left_s) == (False, 10.0)
    clock.now_s += 10.0
    assert breaker.admit()
    assert breaker.succeed()
    assert (breaker.state, breaker.admit(), breaker.pause_left_s) == (BreakerState.CLOSED, True, 0.0)


def test_what_was_under_way_makes_the_pause_no_longer() -> None:
    breaker, clock = build()
    breaker.fail(), breaker.fail()
    clock.now_s += 9.0
    assert not breaker.fail()
    assert breaker.pause_left_s == 1.0


def test_one_who_never_reports_is_given_up_where_that_is_said() -> None:
    breaker, clock = build(lapse_s=5.0)
    breaker.fail(), breaker.fail()
    clock.now_s += 10.0
    assert [breaker.admit(), breaker.admit()] == [True, False]
    clock.now_s += 5.0
    assert [breaker.admit(), breaker.admit()] == [True, False]


def test_none_never_opens() -> None:
    breaker, _ = build(failures=0)
    assert not any(breaker.fail() for _ in range(100))
    assert breaker.state is BreakerState.CLOSED


def test_of_many_threads_one_tries() -> None:
    breaker, clock = build()
    breaker.fail(), breaker.fail()
    clock.now_s += 10.0
    together = threading.Barrier(16)

    def ask(_: int) -> bool:
        together.wait(10)
        return breaker.admit()

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, range(16))) == 1
