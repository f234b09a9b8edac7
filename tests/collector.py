"""A collector of OpenTelemetry inside the test: takes spans by OTLP/HTTP, and knows what came."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Came:
    """A span as it came."""

    process: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    trouble: str
    said: dict[str, Any] = field(hash=False)


class Collector:
    """What came so far."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.paths: set[str] = set()
        self._spans: list[Came] = []
        self._lock = threading.Lock()

    def take(self, path: str, body: bytes) -> None:
        """One request."""
        asked = ExportTraceServiceRequest.FromString(body)
        spans = [
            Came(
                _plain(resource.resource.attributes)["service.name"], span.name, span.trace_id.hex(),
                span.span_id.hex(), span.parent_span_id.hex(), span.status.message, _plain(span.attributes),
            )
            for resource in asked.resource_spans for scope in resource.scope_spans for span in scope.spans
        ]  # fmt: skip
        with self._lock:
            self.paths.add(path)
            self._spans += spans

    def of(self, trace_id: str) -> dict[str, Came]:
        """The spans of a trace, by process and name."""
        with self._lock:
            return {f"{one.process}: {one.name}": one for one in self._spans if one.trace_id == trace_id}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            packed = self.headers.get("Content-Encoding") == "gzip"
            collector.take(self.path, gzip.decompress(body) if packed else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.endpoint = f"http://127.0.0.1:{server.server_port}"
        listening = threading.Thread(target=server.serve_forever, daemon=True)
        listening.start()
        try:
            yield collector
        finally:
            server.shutdown()
            listening.join()


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value") for one in attributes}
