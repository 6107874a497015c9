"""The client that blocks."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Concatenate, ParamSpec, Self, TypeVar

import httpx

from packshot_client import batches, jobs, service, uploads
from packshot_client.calls import E, Lister
from packshot_client.engine import DEFAULT_RETRIES, DEFAULT_TIMEOUT_S, Planner, dress
from packshot_client.retries import Retries
from packshot_client.steps import Broken, Outcome, Pause, Plan, Reply, Request, Step
from packshot_client.transport import broken_of, http_options, outgoing, reply_of

P = ParamSpec("P")
T = TypeVar("T")


class Runner:
    """Takes the steps of a call, one after the other."""

    def __init__(self, http: httpx.Client, retries: Retries, sleep: Callable[[float], None]) -> None:
        self._http = http
        self._planner = Planner(retries)
        self._sleep = sleep

    def run(self, call: Plan[T]) -> T:
        """Take all steps; returns what the call returns, raises what it raises."""
        steps = self._planner.plan(call)
        outcome: Outcome = None
        try:
            while True:
                outcome = self._take(steps.send(outcome))
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    def _take(self, step: Step) -> Outcome:
        if isinstance(step, Pause):
            self._sleep(step.seconds)
            return None
        return self._perform(step)

    def _perform(self, request: Request) -> Reply | Broken:
        began = time.monotonic()
        with ExitStack() as files:
            outward = outgoing(self._http, request, files)
            try:
                response = self._http.send(outward, stream=True, follow_redirects=request.into is not None)
                files.callback(response.close)
                if request.into is None or not response.is_success:
                    return reply_of(response, response.read(), began)
                request.into.start()
                for chunk in response.iter_bytes():
                    request.into.write(chunk)
                return reply_of(response, b"", began)
            except httpx.RequestError as error:
                return broken_of(error)


class _Resource:
    """A group of calls."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner


R = TypeVar("R", bound=_Resource)


def _call(call: Callable[P, Plan[T]]) -> Callable[Concatenate[_Resource, P], T]:
    def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._runner.run(call(*args, **kwargs))

    dress(method, call)
    return method


def _each(call: Callable[P, Lister[E]]) -> Callable[Concatenate[_Resource, P], Iterator[E]]:
    def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[E]:
        pages = call(*args, **kwargs)
        after: str | None = None
        while True:
            page = self._runner.run(pages(after))
            yield from page.data
            if not page.has_more or not page.data:
                return
            after = page.data[-1].id

    dress(method, call)
    return method


class Jobs(_Resource):
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


class Uploads(_Resource):
    """Calls about photos stored ahead of the jobs that use them."""

    create = _call(uploads.create)
    get = _call(uploads.get)
    delete = _call(uploads.delete)


class Batches(_Resource):
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


class Client(_Resource):
    """One caller of a service at `url`, with an API key. Safe to use from several threads; a context that closes it.

    `url` and `key` are by default those of `PACKSHOT_URL` and `PACKSHOT_KEY`. `timeout_s` is how long the service may
    be silent. `transport` is httpx's, for proxies and certificates of your own, and for tests; `trust_env` whether the
    environment's proxies count. `sleep` is how it pauses.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: Retries = DEFAULT_RETRIES,
        transport: httpx.BaseTransport | None = None,
        trust_env: bool = True,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = httpx.Client(transport=transport, trust_env=trust_env, **http_options(url, key, timeout_s))
        super().__init__(Runner(self._http, retries, sleep))
        self.jobs = Jobs(self._runner)
        self.uploads = Uploads(self._runner)
        self.batches = Batches(self._runner)

    cut_out = _call(jobs.cut_out)
    limits = _call(service.limits)
    models = _call(service.models)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
