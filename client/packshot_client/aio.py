"""The client for asyncio. Files of your disk are read and written in between, a chunk at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from packshot_client import batches, jobs, service, uploads
from packshot_client.calls import E, Lister
from packshot_client.engine import DEFAULT_RETRIES, DEFAULT_TIMEOUT_S, Planner, dress
from packshot_client.retries import Retries
from packshot_client.steps import Broken, Outcome, Pause, Plan, Reply, Request, Step
from packshot_client.transport import broken_of, http_options, outgoing, reply_of

P = ParamSpec("P")
T = TypeVar("T")


class AsyncRunner:
    """Takes the steps of a call, one after the other."""

    def __init__(self, http: httpx.AsyncClient, retries: Retries, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._http = http
        self._planner = Planner(retries)
        self._sleep = sleep

    async def run(self, call: Plan[T]) -> T:
        """Take all steps; returns what the call returns, raises what it raises."""
        steps = self._planner.plan(call)
        outcome: Outcome = None
        try:
            while True:
                outcome = await self._take(steps.send(outcome))
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    async def _take(self, step: Step) -> Outcome:
        if isinstance(step, Pause):
            await self._sleep(step.seconds)
            return None
        return await self._perform(step)

    async def _perform(self, request: Request) -> Reply | Broken:
        began = time.monotonic()
        with ExitStack() as files:
            outward = outgoing(self._http, request, files)
            async with AsyncExitStack() as closing:
                try:
                    response = await self._http.send(outward, stream=True, follow_redirects=request.into is not None)
                    closing.push_async_callback(response.aclose)
                    if request.into is None or not response.is_success:
                        return reply_of(response, await response.aread(), began)
                    request.into.start()
                    async for chunk in response.aiter_bytes():
                        request.into.write(chunk)
                    return reply_of(response, b"", began)
                except httpx.RequestError as error:
                    return broken_of(error)


class _Resource:
    """A group of calls."""

    def __init__(self, runner: AsyncRunner) -> None:
        self._runner = runner


def _call(call: Callable[P, Plan[T]]) -> Callable[Concatenate[_Resource, P], Coroutine[Any, Any, T]]:
    async def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._runner.run(call(*args, **kwargs))

    dress(method, call)
    return method


def _each(call: Callable[P, Lister[E]]) -> Callable[Concatenate[_Resource, P], AsyncIterator[E]]:
    async def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[E]:
        pages = call(*args, **kwargs)
        after: str | None = None
        while True:
            page = await self._runner.run(pages(after))
            for entry in page.data:
                yield entry
            if not page.has_more or not page.data:
                return
            after = page.data[-1].id

    dress(method, call)
    return method


class AsyncJobs(_Resource):
    """Calls about jobs."""

    create = _call(jobs.create)
    get = _call(jobs.get)
    page = _call(jobs.page)
    iterate = _each(jobs.iterate)
    wait = _call(jobs.wait)
    cancel = _call(jobs.cancel)
    delete = _call(jobs.delete)
    add_output = _call(jobs.add_output)
    wait_output = _call(jobs.wait_output)
    read_output = _call(jobs.read_output)
    read_matte = _call(jobs.read_matte)
    download = _call(jobs.download)


class AsyncUploads(_Resource):
    """Calls about photos stored ahead of the jobs that use them."""

    create = _call(uploads.create)
    get = _call(uploads.get)
    delete = _call(uploads.delete)


class AsyncBatches(_Resource):
    """Calls about batches."""

    create = _call(batches.create)
    check = _call(batches.check)
    get = _call(batches.get)
    page = _call(batches.page)
    iterate = _each(batches.iterate)
    items = _each(batches.items)
    wait = _call(batches.wait)
    cancel = _call(batches.cancel)
    delete = _call(batches.delete)
    retry = _call(batches.retry)
    download = _call(batches.download)


class AsyncClient(_Resource):
    """`Client` for asyncio: the same calls, to be awaited; lists are iterated with `async for`."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: Retries = DEFAULT_RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
        trust_env: bool = True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http = httpx.AsyncClient(transport=transport, trust_env=trust_env, **http_options(url, key, timeout_s))
        super().__init__(AsyncRunner(self._http, retries, sleep))
        self.jobs = AsyncJobs(self._runner)
        self.uploads = AsyncUploads(self._runner)
        self.batches = AsyncBatches(self._runner)

    cut_out = _call(jobs.cut_out)
    limits = _call(service.limits)
    models = _call(service.models)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
