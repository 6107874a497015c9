"""Traces through OpenTelemetry, sent by OTLP over HTTP. Imported only where tracing is on: see `config.tracing`."""

import os
import socket
from collections.abc import Sequence
from importlib.metadata import version
from typing import Self

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from config.tracing import Attributes, Kind, Span, headers_of

_EXPORT_S = 5.0  # of one request to the collector
_FORMAT = TraceContextTextMapPropagator()


def build(otlp_url: str, service: str) -> "OtelTracing":
    """Spans go in batches to `otlp_url`; the SDK's own variables (`OTEL_TRACES_SAMPLER` and the like) apply."""
    resource = Resource.create(
        {
            "service.name": f"packshot-{service}",
            "service.version": version("packshot"),
            "service.instance.id": f"{service}-{os.getpid()}@{socket.gethostname()}",
        }
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{otlp_url.rstrip('/')}/v1/traces", timeout=_EXPORT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return OtelTracing(provider)


class OtelTracing:
    """`config.tracing.Tracing` on a provider of spans."""

    is_on = True

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("packshot", version("packshot"))

    def start(
        self,
        name: str,
        *,
        parent: str | None = None,
        kind: Kind = Kind.INTERNAL,
        links: Sequence[str | None] = (),
        attributes: Attributes | None = None,
    ) -> Span:
        """See `Tracing.start`."""
        return _OtelSpan(
            self._tracer.start_span(
                name,
                context=_context(parent),
                kind=trace.SpanKind[kind.value],
                links=[trace.Link(_span_context(link)) for link in links if link is not None],
                attributes=attributes,
            )
        )

    def close(self) -> None:
        """See `Tracing.close`."""
        self._provider.shutdown()


class _OtelSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        _FORMAT.inject(carrier, trace.set_span_in_context(self._span, Context()))
        return " ".join(carrier[name] for name in ("traceparent", "tracestate") if carrier.get(name)) or None

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def fail(self, error: str) -> None:
        # The word alone: an exception's text may hold what logs must not.
        self._span.set_attribute("error.type", error)
        self._span.set_status(trace.StatusCode.ERROR)

    def end(self, *, name: str | None = None) -> None:
        if name is not None:
            self._span.update_name(name)
        self._span.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.fail(kind.__name__)
        self.end()


def _context(traceparent: str | None) -> Context:
    """Never the ambient one: a span without a parent begins a trace."""
    return _FORMAT.extract(headers_of(traceparent), Context())


def _span_context(traceparent: str) -> trace.SpanContext:
    return trace.get_current_span(_context(traceparent)).get_span_context()
