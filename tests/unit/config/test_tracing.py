"""Contexts are read as W3C writes them, passed on where tracing is off, and gone on with where it is on."""

import subprocess
import sys
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

from config.otel import OtelTracing, build
from config.settings import Settings
from config.tracing import (
    Kind,
    Silent,
    build_tracing,
    headers_of,
    parse_context,
    parse_traceparent,
    trace_id_of,
)
from tests.ports import free_port

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
DROPPED = f"00-{TRACE}-{SPAN}-00"


@pytest.mark.parametrize(
    ("header", "context"),
    [
        (SAMPLED, SAMPLED),
        (f" {SAMPLED}\t", SAMPLED),
        (f"00-{TRACE}-{SPAN}-07", f"00-{TRACE}-{SPAN}-03"),
        (f"00-{TRACE}-{SPAN}-fc", DROPPED),
        (f"cc-{TRACE}-{SPAN}-01-what-comes", SAMPLED),
        (f"cc-{TRACE}-{SPAN}-01", SAMPLED),
    ],
)
def test_a_context_is_read(header: str, context: str) -> None:
    assert parse_traceparent(header) == context


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "no",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01x",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}",
        f"00_{TRACE}_{SPAN}_01",
        f"00-{TRACE}-{SPAN}-01\r\nX: y",
        f"{SAMPLED},{SAMPLED}",
    ],
)
def test_a_malformed_one_is_none(header: str | None) -> None:
    assert parse_traceparent(header) is None


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        (["congo=t61rcWkgMzE"], "congo=t61rcWkgMzE"),
        (["rojo=00f067aa0ba902b7, congo=t61 rcW=="], None),
        (["rojo=1 ,\tcongo=a b"], "rojo=1,congo=a b"),
        (["rojo=1,,", " fw529a3039@dt=FfAB"], "rojo=1,fw529a3039@dt=FfAB"),
        ([",".join(f"k{n}=v" for n in range(32))], ",".join(f"k{n}=v" for n in range(32))),
        ([",".join(f"k{n}=v" for n in range(33))], None),
        (["a=" + "x" * 255, "b=" + "y" * 250, "c=z"], "a=" + "x" * 255 + ",b=" + "y" * 250),
        (["a=1,a=2"], None),
        (["A=1"], None),
        (["a=1\r\nX: y"], None),
        (["a=\u00e9"], None),
        ([""], None),
        ([], None),
    ],
)
def test_a_tracestate_goes_along(states: list[str], kept: str | None) -> None:
    context = parse_context([SAMPLED], states)
    assert context is not None
    assert trace_id_of(context) == TRACE
    expected = {"traceparent": SAMPLED} if kept is None else {"traceparent": SAMPLED, "tracestate": kept}
    assert headers_of(context) == expected


def test_without_a_good_traceparent_there_is_no_context() -> None:
    assert [parse_context(given, ["a=1"]) for given in ([], ["no"], [SAMPLED, SAMPLED])] == [None] * 3
    assert headers_of(None) == {}


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans: InMemorySpanExporter) -> OtelTracing:
    provider = TracerProvider(sampler=ParentBased(ALWAYS_ON))
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return OtelTracing(provider)


def test_work_goes_on_under_its_parent_and_names_what_it_has_to_do_with(
    tracing: OtelTracing, spans: InMemorySpanExporter
) -> None:
    request = tracing.start("POST", parent=SAMPLED, kind=Kind.SERVER)
    photo = tracing.start("photo", parent=request.traceparent, links=[SAMPLED, None], attributes={"size": 3})
    photo.note({"model": "fake@1"})
    photo.fail("file_too_large")
    photo.end(name="photo of a mug")
    request.end()
    alone = tracing.start("microbatch")
    alone.end()
    ended, answered, own = spans.get_finished_spans()
    assert answered.parent is not None
    assert (f"{answered.parent.trace_id:032x}", f"{answered.parent.span_id:016x}") == (TRACE, SPAN)
    assert answered.kind is SpanKind.SERVER
    assert ended.parent is not None
    assert ended.parent.span_id == answered.context.span_id
    assert ended.name == "photo of a mug"
    assert dict(ended.attributes or {}) == {"size": 3, "model": "fake@1", "error.type": "file_too_large"}
    assert ended.status.status_code is StatusCode.ERROR
    assert [f"{link.context.span_id:016x}" for link in ended.links] == [SPAN]
    assert own.parent is None
    assert alone.traceparent is not None
    assert trace_id_of(alone.traceparent) != TRACE


def test_a_block_that_raises_tells_the_kind_of_error_and_not_its_words(
    tracing: OtelTracing, spans: InMemorySpanExporter
) -> None:
    with pytest.raises(RuntimeError), tracing.start("store"):
        raise RuntimeError("whsec_secret")
    [span] = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert dict(span.attributes or {}) == {"error.type": "RuntimeError"}
    assert "whsec" not in span.to_json()


def test_a_tracestate_is_passed_on_under_each_span(tracing: OtelTracing, spans: InMemorySpanExporter) -> None:
    outer = tracing.start("POST", parent=f"{SAMPLED} rojo=1,congo=a b")
    with tracing.start("photo", parent=outer.traceparent) as inner:
        headers = headers_of(inner.traceparent)
    assert headers["tracestate"] == "rojo=1,congo=a b"
    inner_span = spans.get_finished_spans()[0]
    assert headers["traceparent"] == f"00-{TRACE}-{inner_span.context.span_id:016x}-01"
    assert tracing.start("alone").traceparent.count(" ") == 0


def test_what_the_caller_does_not_sample_is_not_recorded_but_passed_on(
    tracing: OtelTracing, spans: InMemorySpanExporter
) -> None:
    with tracing.start("POST", parent=DROPPED) as span:
        assert span.traceparent is not None
        assert trace_id_of(span.traceparent) == TRACE
        assert span.traceparent.endswith("-00")
    assert spans.get_finished_spans() == ()


def test_off_it_passes_contexts_on() -> None:
    tracing = build_tracing(Settings(), "api")
    assert isinstance(tracing, Silent)
    with tracing.start("POST", parent=SAMPLED) as span:
        assert span.traceparent == SAMPLED
    assert tracing.start("POST").traceparent is None


def test_off_it_is_not_imported() -> None:
    code = """
import sys
import api.app, worker.io, worker.sweep
from config.settings import Settings
from config.tracing import build_tracing
build_tracing(Settings(), "gpu")
# redis-py imports the SDK's metrics by itself, where it is installed.
ours = ("config.otel", "opentelemetry.sdk.trace", "opentelemetry.exporter", "google.protobuf")
print(*(name for name in sys.modules if name.startswith(ours)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_collector_that_is_away_holds_nobody_up() -> None:
    tracing = build(f"http://127.0.0.1:{free_port()}", "io")
    begun = time.monotonic()
    tracing.start("microbatch").end()
    tracing.close()
    assert time.monotonic() - begun < 8
