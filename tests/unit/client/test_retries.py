"""What is tried again, when, and what it is in the end: the same for both clients."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from packshot_client import (
    ApiError,
    AuthenticationError,
    ConflictError,
    GoneError,
    InvalidRequestError,
    NoAnswerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    Retries,
    ServiceError,
)
from packshot_client.retries import retry_after_s
from packshot_client.steps import Broken, Request
from tests.unit.client.service import DONE, JOB, Face, answer, problem

Make = Callable[..., Face]


def test_a_post_is_sent_again_whole_with_the_same_key(face: Make) -> None:
    client = face(httpx.ConnectError("refused"), httpx.ReadError("reset"), answer({}, 502), answer(JOB, 202))
    job = client.do("jobs.create", b"a photo", filename="mug.jpg", format="jpg", labels={"sku": "1"})
    assert job.id == "job_1"
    keys = {request.headers["idempotency-key"] for request in client.service.requests}
    assert len(client.service.requests) == 4
    assert [len(key) for key in keys] == [32]
    for request in client.service.requests:
        assert request.content.count(b"a photo") == 1
        assert b'name="labels"\r\n\r\n{"sku": "1"}' in request.content
        assert b'filename="mug.jpg"' in request.content
    assert [0.25 <= pause <= 0.5 for pause in client.pauses[:1]] == [True]
    assert 0.5 <= client.pauses[1] <= 1.0 <= client.pauses[2] <= 2.0


def test_each_submission_has_a_key_of_its_own(face: Make) -> None:
    client = face(answer(JOB, 202))
    client.do("jobs.create", b"1")
    client.do("jobs.create", b"1")
    client.do("jobs.create", b"1", idempotency_key="mine")
    first, second, third = (request.headers["idempotency-key"] for request in client.service.requests)
    assert first != second
    assert third == "mine"


def test_retry_after_is_honoured(face: Make) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=9), usegmt=True)
    client = face(
        problem(429, "rate_limited", retryable=True, Retry_After="7"),
        problem(503, "database_unavailable", retryable=True, Retry_After=at),
        answer(DONE),
    )
    assert client.do("jobs.get", "job_1").status == "succeeded"
    assert client.pauses[0] == 7
    assert 6 < client.pauses[1] <= 9


def test_a_longer_pause_than_ours_is_left_to_the_caller(face: Make) -> None:
    client = face(problem(429, "rate_limited", retryable=True, Retry_After="3600"))
    with pytest.raises(RateLimitError) as caught:
        client.do("jobs.get", "job_1")
    assert caught.value.problem.retry_after_s == 3600
    assert (client.pauses, caught.value.attempts) == ([], 1)


def test_tries_end(face: Make) -> None:
    client = face(httpx.ConnectError("refused"), retries=Retries(attempts=3))
    with pytest.raises(NoAnswerError, match="refused") as caught:
        client.do("jobs.create", b"1")
    assert (len(client.service.requests), len(client.pauses), caught.value.attempts) == (3, 2, 3)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError), (401, AuthenticationError), (403, PermissionDeniedError), (404, NotFoundError),
        (409, ConflictError), (410, GoneError), (413, InvalidRequestError), (415, InvalidRequestError),
        (422, InvalidRequestError), (429, RateLimitError), (500, ServiceError), (503, ServiceError), (405, ApiError),
    ],
)  # fmt: skip
def test_a_problem_is_an_exception_and_not_tried_again(face: Make, status: int, kind: type[ApiError]) -> None:
    client = face(problem(status, "some_code"))
    with pytest.raises(kind) as caught:
        client.do("jobs.create", b"1")
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.retryable, error.request_id) == (status, "some_code", False, "req_1")
    assert [field.pointer for field in error.problem.errors] == ["/format"]
    assert str(error) == f"{status} some_code: Because. (request req_1)"
    assert len(client.service.requests) == 1


def test_of_conflicts_only_a_request_in_flight_passes(face: Make) -> None:
    client = face(problem(409, "idempotency_in_flight", retryable=True), answer(JOB, 202))
    assert client.do("jobs.create", b"1").id == "job_1"
    client = face(problem(409, "not_ready", retryable=True))  # waiting is for `wait`
    with pytest.raises(ConflictError):
        client.do("jobs.read_output", "job_1")
    assert len(client.service.requests) == 1


def test_what_is_no_problem_json(face: Make) -> None:
    client = face(httpx.Response(502, text="<html>Bad gateway</html>"), retries=Retries(attempts=2))
    with pytest.raises(ServiceError) as caught:
        client.do("jobs.get", "job_1")
    assert (caught.value.code, caught.value.retryable, caught.value.attempts) == ("http_502", True, 2)
    client = face(httpx.Response(302, headers={"Location": "https://login.test"}))
    with pytest.raises(ApiError) as moved:  # a key follows no redirect
        client.do("jobs.get", "job_1")
    assert (moved.value.code, len(client.service.requests)) == ("http_302", 1)


def test_only_what_can_be_repeated_is_repeated() -> None:
    rng, retries = random.Random(1), Retries()
    broken = Broken("reset")
    assert retries.pause_s(Request("POST", "/"), broken, 1, rng) is None
    assert retries.pause_s(Request("POST", "/", headers={"Idempotency-Key": "1"}), broken, 1, rng) is not None
    assert retries.pause_s(Request("GET", "/"), Broken("no such scheme", is_permanent=True), 1, rng) is None
    pauses = [retries.pause_s(Request("GET", "/"), broken, attempt, rng) for attempt in range(1, 6)]
    assert pauses[-1] is None
    assert all(pause is not None and pause <= 4.0 for pause in pauses[:-1])


@pytest.mark.parametrize(
    "header",
    ["", "soon", "-1", "1e9", "Wed, 99 Nov 2026 00:00:00 GMT", "Wed, 21 Oct 2015 07:28:00 +99999999999999999999"],
)
def test_a_retry_after_that_says_nothing(header: str) -> None:
    assert retry_after_s({"retry-after": header}) is None
    assert retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
