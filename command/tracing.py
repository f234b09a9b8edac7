"""Spans for OpenTelemetry, where they are wanted: the only module that knows its library, which is an extra."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from panda_fsm.errors import SettingsError
from panda_fsm.tracing import TRACEPARENT, TRACING, Role, Span, Tracer

_PATH = "/v1/traces"
_ANSWER_S = 3.0
"""A collector that takes longer loses what it was sent, and a process that ends waits for it no longer."""


@contextmanager
def to(endpoint: str, service: str) -> Iterator[None]:
    """Write the spans of this process to a collector; to none if there is no `endpoint`. Raises SettingsError."""
    if not endpoint:
        yield
        return
    provider = _provider(endpoint, service)
    TRACING.tracer = _tracer(provider)
    try:
        yield
    finally:
        TRACING.tracer = None
        last_words = threading.Thread(target=provider.shutdown, name="tracing.end", daemon=True)
        last_words.start()
        last_words.join(_ANSWER_S)


def _provider(endpoint: str, service: str) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(
            f"PANDA_FSM_OTLP_ENDPOINT is set, and OpenTelemetry is not installed ({error}):"
            " pip install 'panda-fsm[otel]', or unset it"
        ) from None
    name = {"service.name": service, "service.namespace": "panda-fsm", "service.version": version("panda-fsm")}
    provider = TracerProvider(resource=Resource.create(name), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=_place(endpoint), timeout=_ANSWER_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _place(endpoint: str) -> str:
    """Where a collector takes spans, of which perhaps only the address is given."""
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(path=_PATH)) if parts.path in ("", "/") else endpoint


def _tracer(provider: Any) -> Tracer:
    """The tracer of a provider; its classes are made where the library is known to be there."""
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    writes = provider.get_tracer("panda-fsm")
    propagator = TraceContextTextMapPropagator()
    kinds = {
        Role.SERVER: trace.SpanKind.SERVER,
        Role.CONSUMER: trace.SpanKind.CONSUMER,
        Role.PRODUCER: trace.SpanKind.PRODUCER,
    }

    class Written:
        def __init__(self, span: trace.Span) -> None:
            self._span = span
            its = span.get_span_context()
            self.traceparent = f"00-{its.trace_id:032x}-{its.span_id:016x}-{its.trace_flags:02x}"

        def end(self, trouble: str | None = None, attributes: Mapping[str, Any] | None = None) -> None:
            if attributes:
                self._span.set_attributes(attributes)
            if trouble is not None:
                self._span.set_status(trace.StatusCode.ERROR, trouble)
            self._span.end()

    class Writer:
        def begin(
            self, name: str, role: Role, parent: str | None, attributes: Mapping[str, Any], began_ns: int | None = None
        ) -> Span:
            within = Context() if parent is None else propagator.extract({TRACEPARENT: parent}, Context())
            return Written(writes.start_span(name, within, kinds[role], attributes, start_time=began_ns))

    return Writer()
