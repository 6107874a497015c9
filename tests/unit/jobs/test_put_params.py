"""`put_url` and `put_headers`: judged before anything is queued, and shown by no text."""

import pytest

from jobs.egress import Policy
from jobs.put_params import MAX_HEADERS, PutTarget, parse_put

URL = "https://bucket.s3.example/mug.png?X-Amz-Signature=abc%2Fdef&x=%20+"


def codes(**given: object) -> list[tuple[str, str]]:
    return [(error.pointer, error.code) for error in parse_put(given, "cutout", Policy(), at="/outputs/0")[1]]


def test_a_signed_url_is_kept_as_it_was_signed() -> None:
    target, errors = parse_put({"put_url": URL, "put_headers": {"x-ms-blob-type": "BlockBlob"}}, "main", Policy())
    assert errors == []
    assert target == PutTarget("main", URL, {"x-ms-blob-type": "BlockBlob"})
    assert target is not None
    assert target.host == "bucket.s3.example"
    assert "abc" not in repr(target)


def test_without_a_url_there_is_none() -> None:
    assert parse_put({"name": "cutout", "put_url": None, "put_headers": None}, "cutout", Policy()) == (None, [])


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x", "ftp://shop.example/x", "https://a:b@shop.example/x", "https://shop.example:81/", "x"]
)
def test_a_url_that_may_not_be_called(url: str) -> None:
    assert codes(put_url=url) == [("/outputs/0/put_url", "invalid_put_url")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "x"},
        {"content-length": "3"},
        {"Transfer-Encoding": "chunked"},
        {"X-A": "1\r\nX-B: 2"},
        {"X-A": "é"},
        {"X-A": " 1"},
        {"X-A": "1 "},
        {"X-A": " "},
        {"X A": "1"},
        {"": "1"},
        {"X-A": "1", "x-a": "2"},
        {"X-A": "1" * 3000},
        {f"X-{number}": "1" for number in range(MAX_HEADERS + 1)},
    ],
)
def test_headers_that_are_none(headers: dict[str, str]) -> None:
    assert codes(put_url=URL, put_headers=headers) == [("/outputs/0/put_headers", "invalid_put_headers")]


@pytest.mark.parametrize("value", ["", "1", "two words"])
def test_values_that_can_be_sent(value: str) -> None:
    assert codes(put_url=URL, put_headers={"X-A": value}) == []


def test_headers_go_with_a_url() -> None:
    assert codes(put_headers={"X-A": "1"}) == [("/outputs/0/put_headers", "invalid_put_headers")]


def test_no_error_quotes_what_was_given() -> None:
    secret = "https://127.0.0.1/x?sig=SECRET"
    _, errors = parse_put({"put_url": secret, "put_headers": {"X-A": "SECRET\n"}}, "cutout", Policy())
    assert len(errors) == 2
    assert "SECRET" not in str(errors)
