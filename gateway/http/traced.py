"""The span of a request: a part of the trace that its client names, and what it causes is a part of it."""

from typing import Any

from starlette.types import Scope

from gateway.http.route import Route
from panda_fsm.tracing import TRACING, Parents, Role, Span, now_within, sent_by_http

_OURS = 500


def begin(scope: Scope, route: Route) -> Span | None:
    """The span of a request; none where nobody writes spans, and of a question whether we are well."""
    if TRACING.tracer is None or route.is_health:
        return None
    said: dict[str, Any] = {
        "http.request.method": scope["method"], "http.route": route.path, "url.path": str(scope["path"])[:200],
        "panda.service": "gateway",
    }  # fmt: skip
    name = f"{scope['method']} {route.path}"
    span = TRACING.tracer.begin(name, Role.SERVER, sent_by_http(scope["headers"]), said)
    now_within(Parents(span.traceparent))
    return span


def end(span: Span, status: int | None) -> None:
    """It is answered, or nobody is there any more who waits for it."""
    if status is None:
        span.end("the client has gone, or was told that it waited too long")
    else:
        span.end(f"answered {status}" if status >= _OURS else None, {"http.response.status_code": status})
