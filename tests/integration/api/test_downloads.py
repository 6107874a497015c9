"""Downloads through the API: ranges, HEAD, copies at hand."""

import pytest
from fastapi.testclient import TestClient

from config.settings import Settings
from db.session import Sessions
from tests.integration.api.support import CUTOUT, finish, submit


@pytest.fixture
def url(client: TestClient, sessions: Sessions, settings: Settings) -> str:
    made = submit(client)
    finish(sessions, settings)
    return f"{made['urls']['self']}/outputs/cutout"


def test_head_tells_all_but_the_bytes(client: TestClient, url: str) -> None:
    for page in (url, url.replace("outputs/cutout", "matte")):
        whole, head = client.get(page), client.head(page)
        assert (head.status_code, head.content) == (200, b"")
        told = ("content-length", "content-type", "content-disposition", "etag", "accept-ranges", "cache-control")
        assert {name: head.headers[name] for name in told} == {name: whole.headers[name] for name in told}
    assert client.head(url, headers={"If-None-Match": whole.headers["etag"]}).status_code == 200
    assert client.head(page, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=100-", 100, len(CUTOUT) - 1),
        ("bytes=-7", len(CUTOUT) - 7, len(CUTOUT) - 1),
        (f"bytes=5-{10**15}", 5, len(CUTOUT) - 1),
        (f"bytes=-{10**15}", 0, len(CUTOUT) - 1),
    ],
)
def test_a_range_of_bytes(client: TestClient, url: str, asked: str, first: int, last: int) -> None:
    reply = client.get(url, headers={"Range": asked})
    assert (reply.status_code, reply.content) == (206, CUTOUT[first : last + 1])
    assert reply.headers["content-range"] == f"bytes {first}-{last}/{len(CUTOUT)}"


@pytest.mark.parametrize("asked", ["bytes=9-5", "bytes=-", "bytes=0-1,5-6", "lines=0-1", "bytes=x-", "bytes=²-3", ""])
def test_what_is_no_single_range_is_ignored(client: TestClient, url: str, asked: str) -> None:
    reply = client.get(url, headers={"Range": asked.encode()})
    assert (reply.status_code, reply.content) == (200, CUTOUT)


def test_a_range_behind_the_end(client: TestClient, url: str) -> None:
    for asked in (f"bytes={len(CUTOUT)}-", "bytes=-0"):
        reply = client.get(url, headers={"Range": asked})
        assert (reply.status_code, reply.json()["code"]) == (416, "range_not_satisfiable")
        assert reply.headers["content-range"] == f"bytes */{len(CUTOUT)}"


def test_a_range_of_another_file_is_none(client: TestClient, url: str) -> None:
    etag = client.head(url).headers["etag"]
    same = client.get(url, headers={"Range": "bytes=0-9", "If-Range": etag})
    other = client.get(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (same.status_code, other.status_code, other.content) == (206, 200, CUTOUT)
