"""One trace from the request over fetch and microbatch to the webhook; a batch and its items name each other."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import select

from api.app import create_app
from config.otel import OtelTracing
from config.settings import Settings
from config.tracing import Silent, Tracing
from db.models import Job
from jobs.keys import IssuedKey
from jobs.models import Models as JobModels
from tests.batches import jsonl, submit
from tests.fakes import FakeSegmenter
from tests.gpu_worker import GpuWorld, photo
from tests.integration.api.conftest import SPEC, open_client
from tests.receivers import Receiver, reply
from worker import io
from worker.models import Models

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = f"00-{TRACE}-{SPAN}-01"
STATE = "rojo=00f067aa0ba902b7,congo=t61 rc"
STAGES = ["decode", "letterbox", "infer", "post", "encode", "store", "commit"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(lambda _: reply(200, photo())) as server:
        server.routes["/gone.png"] = lambda _: reply(404)
        server.routes["/hook"] = lambda _: reply(204)
        yield server


class Chain:
    """API, io worker and gpu worker in this process, with tracing of one kind."""

    def __init__(self, settings: Settings, tracing: Tracing, token: str, receiver: Receiver) -> None:
        given = {name: getattr(settings, name) for name in settings.model_fields_set}
        opened = Settings(**{**given, "egress_allow": (receiver.allow,)})
        self.client: TestClient = open_client(create_app(opened, models=JobModels((SPEC,)), tracing=tracing), token)
        self.client.__enter__()
        self.io = io.build(opened, tracing=tracing)
        models = Models(dict.fromkeys((SPEC.name, "fake@1"), "fake@1"), FakeSegmenter(), FakeSegmenter)
        self.gpu = GpuWorld(opened, models, tracing=tracing)

    def work(self) -> None:
        for _ in range(3):
            io.drain(self.io)
            self.gpu.drain()
        io.drain(self.io)

    def close(self) -> None:
        self.client.__exit__(None, None, None)
        self.io.close()
        self.gpu.close()

    def stored(self) -> list[str | None]:
        """Of the jobs, oldest first; without flags."""
        with self.gpu.res.sessions() as session:
            texts = session.scalars(select(Job.traceparent).order_by(Job.id))
            return [text and text.partition(" ")[0][3:-3] for text in texts]

    def states(self) -> list[str]:
        """What is stored of a `tracestate`, oldest job first."""
        with self.gpu.res.sessions() as session:
            texts = session.scalars(select(Job.traceparent).order_by(Job.id))
            return [(text or "").partition(" ")[2] for text in texts]


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def chain(settings: Settings, key: IssuedKey, receiver: Receiver, spans: InMemorySpanExporter) -> Iterator[Chain]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    chain = Chain(settings, OtelTracing(provider), key.token, receiver)
    yield chain
    chain.close()


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


def ids(span: ReadableSpan) -> tuple[str, str]:
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def parent(span: ReadableSpan) -> tuple[str, str] | None:
    return (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") if span.parent else None


def links(span: ReadableSpan) -> list[tuple[str, str]]:
    return [(f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") for link in span.links]


def test_from_request_to_microbatch_to_webhook(chain: Chain, spans: InMemorySpanExporter, receiver: Receiver) -> None:
    body = {"image_url": receiver.url("/mug.png?sig=n33dle"), "webhook_url": receiver.url("/hook")}
    first = chain.client.post("/v1/jobs", json=body, headers={"traceparent": CALLER, "tracestate": STATE}).json()
    other = chain.client.post("/v1/jobs", json=body).json()
    chain.work()

    asked, alone = named(spans, "POST /v1/jobs")
    assert (parent(asked), asked.kind) == ((TRACE, SPAN), SpanKind.SERVER)
    assert parent(alone) is None
    assert asked.attributes is not None
    assert asked.attributes["http.response.status_code"] == 202
    assert chain.stored() == ["-".join(ids(span)) for span in (asked, alone)]
    assert chain.states() == [STATE, ""]

    photos = {(span.attributes or {})["packshot.job_id"]: span for span in named(spans, "photo")}
    mine = photos[first["id"]]
    assert parent(mine) == ids(asked)
    assert parent(photos[other["id"]]) == ids(alone)
    assert [parent(span) for span in named(spans, "fetch")].count(ids(asked)) == 1
    below = [span for span in spans.get_finished_spans() if parent(span) == ids(mine)]
    assert [span.name for span in below] == STAGES
    [microbatch] = named(spans, "microbatch")
    assert parent(microbatch) is None
    assert sorted(links(microbatch)) == sorted(map(ids, photos.values()))
    assert (microbatch.attributes or {})["packshot.images"] == 2
    assert [links(span) for span in below if span.name == "infer"] == [[ids(microbatch)]]

    [called] = [span for span in named(spans, "webhook job.succeeded") if parent(span) == ids(asked)]
    assert called.kind is SpanKind.CLIENT
    heard = {request.headers["traceparent"] for request in receiver.received if request.target == "/hook"}
    assert f"00-{TRACE}-{ids(called)[1]}-01" in heard
    assert len(heard) == 2
    states = {request.headers.get("tracestate") for request in receiver.received if request.target == "/hook"}
    assert states == {STATE, None}
    fetched = [request for request in receiver.received if request.target.startswith("/mug")]
    assert all("traceparent" not in request.headers for request in fetched)  # strangers need not know
    assert not [span for span in spans.get_finished_spans() if "n33dle" in span.to_json()]


def test_what_goes_wrong_is_an_error_with_its_code(
    chain: Chain, spans: InMemorySpanExporter, receiver: Receiver
) -> None:
    body = {"image_url": receiver.url("/gone.png"), "webhook_url": receiver.url("/gone.png")}
    chain.client.post("/v1/jobs", json=body)
    bad = photo()[:-40]
    chain.client.post("/v1/jobs", files={"image_file": ("a.png", bad)})
    chain.work()
    [fetch] = named(spans, "fetch")
    assert (fetch.attributes or {})["error.type"] == "failed_image_download"
    [hook] = named(spans, "webhook job.failed")
    assert (hook.attributes or {})["error.type"] == "404"
    [broken] = named(spans, "photo")
    assert (broken.attributes or {})["error.type"] == "failed_to_read_image"
    assert {span.status.status_code for span in (fetch, hook, broken)} == {StatusCode.ERROR}


def test_a_batch_and_its_items_have_traces_that_name_each_other(
    chain: Chain, spans: InMemorySpanExporter, receiver: Receiver
) -> None:
    chain.client.headers["traceparent"] = CALLER
    lines = jsonl(*({"image_url": receiver.url(f"/{number}.png")} for number in range(3)))
    submit(chain.client, lines, webhook_url=receiver.url("/hook"))
    chain.work()
    [asked] = named(spans, "POST /v1/batches")
    assert parent(asked) == (TRACE, SPAN)
    for stretch in ("batch validating", "batch in_progress"):
        assert {parent(span) for span in named(spans, stretch)} == {ids(asked)}
    items = named(spans, "item")
    assert [links(item) for item in items] == [[ids(asked)]] * 3
    assert len({ids(item)[0] for item in items} | {TRACE}) == 4
    assert sorted(chain.stored(), key=str) == sorted("-".join(ids(item)) for item in items)
    assert {parent(span) for span in named(spans, "photo")} == set(map(ids, items))


@pytest.mark.parametrize("header", ["00-xyz", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01"])
def test_a_malformed_context_is_ignored(chain: Chain, spans: InMemorySpanExporter, header: str) -> None:
    assert chain.client.get("/v1/jobs", headers={"traceparent": header}).status_code == 200
    [span] = named(spans, "GET /v1/jobs")
    assert parent(span) is None


def test_off_the_callers_context_goes_along_to_the_webhook_all_the_same(
    settings: Settings, key: IssuedKey, receiver: Receiver
) -> None:
    chain = Chain(settings, Silent(), key.token, receiver)
    body = {"image_url": receiver.url("/mug.png"), "webhook_url": receiver.url("/hook")}
    good, bad = {"traceparent": CALLER, "tracestate": STATE}, {"traceparent": "00-bad", "tracestate": STATE}
    for headers in (good, bad, {}):
        assert chain.client.post("/v1/jobs", json=body, headers=headers).status_code == 202
    chain.work()
    assert chain.stored() == [f"{TRACE}-{SPAN}", None, None]
    chain.close()
    heard = [request.headers for request in receiver.received if request.target == "/hook"]
    assert sorted((each.get("traceparent") for each in heard), key=str) == [CALLER, None, None]
    assert sorted((each.get("tracestate") for each in heard), key=str) == [None, None, STATE]


def test_a_put_to_a_callers_url_is_a_span_of_the_jobs_trace(
    chain: Chain, spans: InMemorySpanExporter, receiver: Receiver
) -> None:
    receiver.routes["/takes.png"] = lambda _: reply(200)
    outputs = [{"name": name, "put_url": receiver.url(f"/{name}.png?sig=n33dle")} for name in ("takes", "gone")]
    asked = {"image_url": receiver.url("/mug.png"), "outputs": outputs, "webhook_url": receiver.url("/hook")}
    job = chain.client.post("/v1/jobs", json=asked, headers={"traceparent": CALLER, "tracestate": STATE}).json()
    chain.work()
    [request] = named(spans, "POST /v1/jobs")
    puts = named(spans, "put")
    assert {(parent(span), span.kind) for span in puts} == {(ids(request), SpanKind.CLIENT)}
    told = [dict(span.attributes or {}) for span in puts]
    assert {each["packshot.job_id"] for each in told} == {job["id"]}
    assert {each["http.request.method"] for each in told} == {"PUT"}
    assert {each["server.address"] for each in told} == {f"127.0.0.1:{receiver.port}"}
    assert sorted(each.get("error.type", "") for each in told) == ["", "put_failed"]
    assert sorted(span.status.status_code.name for span in puts) == ["ERROR", "UNSET"]
    [called] = named(spans, "webhook job.failed")
    assert parent(called) == ids(request)
    sent = [each for each in receiver.received if each.target.startswith(("/takes", "/gone"))]
    assert len(sent) == 2
    assert all("traceparent" not in each.headers and "tracestate" not in each.headers for each in sent)
    assert not [span for span in spans.get_finished_spans() if "n33dle" in span.to_json()]
