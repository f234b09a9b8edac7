"""THE table of pages, in the order of the navigation; each is a page and its JSON and CSV twins."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sse_starlette import EventSourceResponse
from starlette.responses import Response

from gateway.access.policy import Action
from gateway.context import Gateway
from gateway.dashboard import (
    answers,
    audit,
    dead,
    errors,
    flow,
    go,
    information,
    job,
    jobs,
    now,
    operations,
    queues,
    sites,
    stuck,
    system,
    tasks,
    workers,
)
from gateway.dashboard.answers import Entry, Frame
from gateway.dashboard.board import Look
from gateway.dashboard.page import Badge, Page
from gateway.dashboard.templating import STATIC
from gateway.dashboard.visitor import Visitor, visitor
from gateway.http.answers import Convention, File
from gateway.http.openapi import program_version
from gateway.http.refusal import NotFoundError
from gateway.http.route import Call, Content, Route

PAGES: tuple[Page, ...] = (
    now.PAGE,
    queues.PAGE, queues.ONE,
    workers.PAGE,
    jobs.PAGE, job.PAGE, operations.BEFORE,
    tasks.PAGE, tasks.ONE,
    sites.PAGE, sites.ONE, information.PAGE,
    flow.PAGE,
    stuck.PAGE,
    errors.PAGE,
    dead.PAGE, dead.ONE,
    audit.PAGE,
    operations.PAGE, operations.ONE,
    go.PAGE,
    system.PAGE,
)  # fmt: skip

_TAG = "dashboard"
_HTML = Content("A page.", ("text/html",))
_LEADS = Content("A page.", ("text/html",), leads_on=True)
_JSON = Content("What the page shows.", ("application/json",))
_CSV = Content("The rows that the page shows.", ("text/csv",))
_ASSET = Content("A style, a script or a drawing.", ("text/css", "text/javascript", "image/svg+xml", "*/*"), True)
_STREAM = Content("Events without end.", ("text/event-stream",))
_ASSETS = frozenset(path.name for path in STATIC.iterdir())
_KEPT_S = 86_400
_BADGES_S = 5.0
"""They may be a little older than the page."""


async def _look(page: Page, gateway: Gateway, call: Call, filters: Any) -> Look[Any]:
    """What the page shows, or showed somebody else a moment ago."""
    asked = call.request.path_params.get("name", ""), call.request.scope["query_string"]
    key = (page.path, *asked, "" if page.is_shared else call.identity.key)
    return await gateway.board.look(key, lambda: page.look(gateway.board, call, filters), page.age_s)


async def _html(page: Page, gateway: Gateway, call: Call, filters: Any) -> Response:
    look = await _look(page, gateway, call, filters)
    elsewhere = None if page.leads_to is None else page.leads_to(look.view)
    if elsewhere is not None:
        return answers.led(elsewhere)
    who = await visitor(gateway, call)
    text = look.known(who.face)
    if text is None:
        around = await frame(page, gateway, who, look.at)
        text = look.keep(who.face, await answers.drawn(page, look.view, call, filters, around))
    return answers.shown(text)


async def _json(page: Page, gateway: Gateway, call: Call, filters: Any) -> Response:
    look = await _look(page, gateway, call, filters)
    return await answers.as_json(look.view, look.at)


async def _csv(page: Page, gateway: Gateway, call: Call, filters: Any) -> Response:
    look = await _look(page, gateway, call, filters)
    return await answers.as_csv(page, look.view)


async def frame(here: Page | None, gateway: Gateway, who: Visitor, at: datetime | None = None) -> Frame:
    """Around a page, as of then or of now; None: around one that has no place in the table."""
    entries = []
    for page in PAGES:
        if page.navigation is not None:
            badge = 0 if page.badge is None else await _badge(page.path, page.badge, gateway)
            entries.append(Entry(page.navigation, page.url, page is here, badge))
    return Frame(tuple(entries), who, at or datetime.now(UTC), program_version())


async def _badge(path: str, look: Badge, gateway: Gateway) -> int:
    return await gateway.board.shared(("badge", path), lambda: look(gateway.board), _BADGES_S)


def bare() -> Frame:
    """Around a page that says no: nothing of it is looked up."""
    entries = (Entry(page.navigation, page.url, False) for page in PAGES if page.navigation is not None)
    return Frame(tuple(entries), None, datetime.now(UTC), program_version())


def routes_of(page: Page) -> Iterable[Route]:
    """The page, its JSON and its CSV."""
    says = page.look.__doc__ or page.title
    answer = _HTML if page.leads_to is None else _LEADS
    html = Route(
        "GET", page.url, _named(_html, page), page.access, page.title, answer, page.filters, Convention.PAGE, tag=_TAG,
        not_accepted=lambda reason: answers.away(reason, bare()),
        refused=lambda error: answers.refused(error, bare()),
    )  # fmt: skip
    json = Route("GET", page.twin("json"), _named(_json, page), page.access, f"{page.title} as JSON", _JSON,
                 page.filters, tag=_TAG)  # fmt: skip
    csv = Route("GET", page.twin("csv"), _named(_csv, page), page.access, f"{page.title} as CSV", _CSV,
                page.filters, tag=_TAG)  # fmt: skip
    for route in (html, json, csv):
        route.handler.__doc__ = says
        yield route


def _named(handler: Any, page: Page) -> Any:
    return partial(handler, page)


async def _asset(_gateway: Gateway, call: Call, _ask: None) -> Response:
    """A part of the pages."""
    name = str(call.request.path_params["name"])
    if name not in _ASSETS:
        raise NotFoundError(f"no asset {name!r:.80}")
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": f"max-age={_KEPT_S}"}
    return File(Path(STATIC) / name, headers=headers)


async def _events(gateway: Gateway, _call: Call, _ask: None) -> Response:
    """Which topics have changed, as they do: `changed` with their names, `hello` at first."""
    return EventSourceResponse(gateway.events.listen(), headers={"X-Content-Type-Options": "nosniff"})


async def _no_page(_gateway: Gateway, call: Call, _ask: None) -> Response:
    """There is no such page."""
    raise NotFoundError(f"there is no page {call.request.path_params['name']!r:.80}")


ROUTES: tuple[Route, ...] = (
    *(route for page in PAGES for route in routes_of(page)),
    replace(next(iter(routes_of(now.PAGE))), path="/"),
    Route("GET", "/ui/static/{name}", _asset, Action.LOOK, "A part of the pages", _ASSET, tag=_TAG),
    Route("GET", "/ui/events", _events, Action.LOOK, "What changes", _STREAM, tag=_TAG),
    Route("GET", "/ui/{name}", _no_page, Action.LOOK, "No page", _HTML, None, Convention.PAGE, tag=_TAG,
          refused=lambda error: answers.refused(error, bare())),
)  # fmt: skip
