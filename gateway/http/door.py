"""The door: every request comes through here, is let in or not, waits within bounds, and is answered."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.context import Gateway
from gateway.http.admission import Admission
from gateway.http.answers import Answer, Convention, failure, turned_away
from gateway.http.bodies import Bodies
from gateway.http.endpoint import Endpoint, endpoint
from gateway.http.journal import JOURNAL
from gateway.http.route import Route
from gateway.http.traced import begin, end
from gateway.work.waiting import CURRENT, Crowd, Waiting
from panda_fsm import figures
from panda_fsm.tracing import TRACING

WAITING = "panda_fsm.waiting"
"""Where a request's scope names who waits for it: the connection tells it that the client has gone."""
_NAME = "{name}"
_NO_ROUTE = "none"


@dataclass(frozen=True, slots=True)
class _Served:
    route: Route
    answer: Endpoint


class _Visit(Waiting):
    """A request under way, with what it takes to answer it from outside."""

    __slots__ = ("began", "door", "receive", "scope", "send", "served")

    def __init__(self, door: "Door", served: _Served, scope: Scope, receive: Receive, send: Send, began: float) -> None:
        super().__init__(asyncio.current_task())
        self.door, self.served, self.began = door, served, began
        self.scope, self.receive, self.send = scope, receive, send

    async def tell(self) -> None:
        response = self.served.route.not_accepted("it waited too long")
        await self.door.send(response, self.served, self.scope, self.receive, self.send, self.began)


class Door:
    """The ASGI application. Paths are found by one look-up: a router that tries them all costs more than a claim."""

    def __init__(self, app: ASGIApp, gateway: Gateway, routes: Iterable[Route]) -> None:
        """`app` hears of start and end; requests know it as their application."""
        config = gateway.config
        self._app = app
        self._gateway = gateway
        self._admission = Admission((*config.hosts, config.host), config.identity_provider == "trusted_loopback")
        self._bodies = Bodies()
        self._crowd = Crowd(config.most_requests, config.longest_wait_s)
        figures.WAITING.watch(self._crowd, len)
        self._paths: dict[str, dict[str, _Served]] = {}
        self._places: dict[str, dict[str, _Served]] = {}
        """Paths that end with a name, or with a name and an ending such as `.json`, without the name."""
        for route in routes:
            served = _Served(route, endpoint(gateway, route, self._bodies, self._crowd))
            paths = self._places if _NAME in route.path else self._paths
            paths.setdefault(route.path.replace(_NAME, ""), {})[route.method] = served
        for methods in (*self._paths.values(), *self._places.values()):
            if "GET" in methods and methods["GET"].route.only_reads:
                methods["HEAD"] = methods["GET"]

    def open(self) -> None:
        """Begin to look at who has waited too long."""
        self._crowd.watch()

    async def close(self) -> None:
        """Nobody comes any more."""
        await self._crowd.stop()
        self._bodies.close()

    def drain(self) -> None:
        """Say that we are not ready, and serve on: each connection's next answer is its last."""
        self._gateway.drain()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        methods = self._methods(scope)
        served = methods.get(scope["method"])
        refused = self._admission.refusal(scope["headers"], scope["http_version"])
        response: Response | None
        if refused is not None:
            response = turned_away(refused, Convention.USER if served is None else served.route.convention)
        elif served is None:
            response = _not_served(scope, methods)
        elif self._crowd.is_full and not served.route.is_health:
            response = served.route.not_accepted("too many requests wait already")
        else:
            response = await self._visit(_Visit(self, served, scope, receive, send, began))
        if response is not None:
            await self.send(response, served, scope, receive, send, began)

    def _methods(self, scope: Scope) -> Mapping[str, _Served]:
        """What is served at this path. The last part of a path may be a name."""
        path: str = scope["path"]
        methods = self._paths.get(path)
        if methods is None:
            place, _, name = path.rpartition("/")
            stem, dot, ending = name.rpartition(".")
            methods = self._places.get(f"{place}/.{ending}") if dot and stem else None
            if methods is not None:
                name = stem
            elif name:
                methods = self._places.get(f"{place}/")
            scope["path_params"] = {"name": name}
        return methods or {}

    async def _visit(self, visit: _Visit) -> Response | None:
        """The answer; none for a client that has gone, or was answered meanwhile because it waited too long."""
        visit.scope["app"] = self._app
        visit.scope[WAITING] = visit
        CURRENT.set(visit)
        span = None if TRACING.tracer is None else begin(visit.scope, visit.served.route)
        response: Response | None = None
        try:
            response = await visit.served.answer(Request(visit.scope, visit.receive, visit.send), visit)
        except asyncio.CancelledError:
            if not visit.is_over:
                raise
        finally:
            visit.is_done = True
            if visit.is_over:
                await self._crowd.told(visit)
                response = None
            self._crowd.leave(visit)
            self._bodies.release(visit)
            if span is not None:
                end(span, None if response is None else response.status_code)
        return response

    async def send(
        self, response: Response, served: _Served | None, scope: Scope, receive: Receive, send: Send, began: float
    ) -> None:
        """Send an answer, and write down why it is none."""
        if isinstance(response, Answer) and response.reason and not (served is not None and served.route.is_health):
            JOURNAL.refused(scope, response.status_code, response.reason, began)
            figures.REFUSALS.add((response.kind,))
        if self._gateway.draining:
            response.headers["connection"] = "close"
        await response(scope, receive, send)
        route = _NO_ROUTE if served is None else served.route.path
        figures.REQUESTS.add((route, str(response.status_code)))
        figures.REQUEST_SECONDS.observe(time.monotonic() - began, (route,))
        if self._gateway.config.access_log and not (served is not None and served.route.is_health):
            JOURNAL.answered(scope, response.status_code, began)


def _not_served(scope: Scope, methods: Mapping[str, _Served]) -> Answer:
    """No such path, or not with this method."""
    message = f"{scope['method']} {scope['path'][:200]} is not served here"
    answer = failure(message, 405, headers={"Allow": ", ".join(sorted(methods))}) if methods else failure(message, 404)
    answer.reason, answer.kind = ("no such method here", "method") if methods else ("no such path", "path")
    return answer
