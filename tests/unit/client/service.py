"""A service that answers as a test says, and both clients of it behind one face."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx

from packshot_client import AsyncClient, Client, Retries

JOB = {"id": "job_1", "object": "job", "status": "queued", "created_at": "2026-11-23T20:28:04.370Z"}
DONE = {**JOB, "status": "succeeded", "verdict": "pass", "reasons": []}
Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


def answer(body: object, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def problem(status: int, code: str, *, retryable: bool = False, **headers: str) -> httpx.Response:
    body = {"type": f"/docs/errors#{code}", "title": "No.", "status": status, "detail": "Because.", "code": code,
            "errors": [{"pointer": "/format", "code": code, "detail": "Bad."}], "request_id": "req_1",
            "retryable": retryable}  # fmt: skip
    return answer(body, status, **headers)


class Service:
    """Gives the answers one after the other, the last one again and again; keeps requests with what they held."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        given = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(given, Exception):
            raise given
        # A response can be read once.
        return given(request) if callable(given) else httpx.Response(
            given.status_code, headers=given.headers, content=given.content
        )  # fmt: skip

    @property
    def sent(self) -> list[str]:
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.requests]

    def json(self, number: int = -1) -> Any:
        return json.loads(self.requests[number].content)


class Face:
    """The sync or the async client: `do("jobs.get", ...)` calls it, `pauses` is how it slept."""

    def __init__(self, kind: str, answers: Sequence[Answer], retries: Retries) -> None:
        self.service = Service(answers)
        self.pauses: list[float] = []
        self._kind = kind
        self._retries = retries

    def do(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return self._sync(name, args, kwargs) if self._kind == "sync" else asyncio.run(self._async(name, args, kwargs))

    def _sync(self, name: str, args: tuple, kwargs: dict) -> Any:
        def read(request: httpx.Request) -> httpx.Response:
            request.read()
            return self.service(request)

        transport = httpx.MockTransport(read)
        with Client("http://packshot.test/base/", "pk_live_1_2", transport=transport, retries=self._retries,
                    sleep=self.pauses.append) as client:  # fmt: skip
            found = _member(client, name)(*args, **kwargs)
            return list(found) if isinstance(found, Iterator) else found

    async def _async(self, name: str, args: tuple, kwargs: dict) -> Any:
        async def read(request: httpx.Request) -> httpx.Response:
            await request.aread()
            return self.service(request)

        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)

        transport = httpx.MockTransport(read)
        async with AsyncClient("http://packshot.test/base/", "pk_live_1_2", transport=transport,
                               retries=self._retries, sleep=sleep) as client:  # fmt: skip
            found = _member(client, name)(*args, **kwargs)
            return [each async for each in found] if hasattr(found, "__aiter__") else await found


def _member(client: object, name: str) -> Any:
    for part in name.split("."):
        client = getattr(client, part)
    return client
