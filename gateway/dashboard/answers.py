"""Answers of the dashboards: a view as page, JSON or CSV, and refusals and outages as pages that say what to do."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from starlette.responses import Response

from gateway.dashboard import twins
from gateway.dashboard.filters import FilterError
from gateway.dashboard.page import Page
from gateway.dashboard.templating import CLOCK, is_known, rendered
from gateway.dashboard.visitor import DONE, Visitor
from gateway.http.answers import RETRY_AFTER_S, Answer
from gateway.http.refusal import RefusalError
from gateway.http.route import Call
from panda_fsm.views.words import clock

Made = TypeVar("Made", str, bytes)
_MANY = 100
"""A page of more rows takes longer than a claim should wait."""
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
    " object-src 'none'",
}
"""Nothing of others in our pages, no script or style but our files, and none of ours in pages of others."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A page in the navigation."""

    name: str
    url: str
    is_here: bool
    badge: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """What is around each page: the navigation, who looks, and as of when."""

    entries: tuple[Entry, ...]
    visitor: Visitor | None
    at: datetime
    version: str


class Here:
    """Where a page is, and where the same with other filters would be."""

    def __init__(self, page: Page, call: Call) -> None:
        self._path: str = call.request.scope["path"]
        self._page = page
        self._name: str = call.request.path_params.get("name", "")
        self.query = {name: value for name, value in call.request.query_params.multi_items() if value and name != DONE}

    def url(self, **changes: Any) -> str:
        """The same page with these filters changed; None: without it. Another filter begins with the first rows."""
        kept = {name: value for name, value in self.query.items() if name != "after"}
        chosen = {name: value for name, value in (kept | changes).items() if value is not None}
        return f"{self._path}?{urlencode(chosen)}" if chosen else self._path

    def query_string(self, without: Collection[str] = ()) -> str:
        """The filters of this page, for another one that has them too."""
        return urlencode({name: value for name, value in self.query.items() if name not in without})

    def twin(self, ending: str) -> str:
        """The same as JSON or CSV."""
        path = self._page.twin(ending).replace("{name}", quote(self._name, safe=""))
        return f"{path}?{urlencode(self.query)}" if self.query else path


async def drawn(page: Page, view: Any, call: Call, filters: Any, frame: Frame) -> str:
    """The page; its clock is set when it is shown."""
    here = Here(page, call)
    draw = partial(rendered, page.template, page=page, view=view, filters=filters, here=here, frame=frame)
    return await _without_delay(draw, _is_long(view) or not is_known(page.template))


def shown(text: str) -> Response:
    """A page that was drawn, now or a moment ago."""
    return Response(_on_time(text), media_type="text/html", headers=SAFE)


def _on_time(text: str) -> str:
    now = datetime.now(UTC)
    return text.replace(CLOCK.at, now.isoformat(), 1).replace(CLOCK.text, clock(now), 1)


def led(url: str) -> Response:
    """To another page."""
    return Response(status_code=303, headers={**SAFE, "Location": url}, media_type="text/html")


async def as_json(view: Any, at: datetime) -> Response:
    """The view as JSON, as of then."""
    write = partial(twins.as_json, view, at)
    return Response(await _without_delay(write, _is_long(view)), media_type="application/json", headers=SAFE)


async def as_csv(page: Page, view: Any) -> Response:
    """The view's rows as CSV."""
    name = page.twin("csv").rpartition("/")[2].replace("{name}", page.title.lower())
    headers = {**SAFE, "Content-Disposition": f'attachment; filename="{name}"'}
    write = partial(twins.as_csv, page.row, view.rows)
    return Response(await _without_delay(write, _is_long(view)), media_type="text/csv", headers=headers)


async def _without_delay(write: Callable[[], Made], is_long: bool) -> Made:
    """What takes long is written in a thread: the event loop, on which pilots wait, has its turn meanwhile."""
    return await asyncio.to_thread(write) if is_long else write()


def _is_long(view: Any) -> bool:
    return len(getattr(view, "rows", ())) > _MANY


def refused(error: RefusalError, frame: Frame) -> Answer:
    """A page that says what was wrong with what was asked, and what may be asked."""
    allowed = error.allowed if isinstance(error, FilterError) else ()
    answer = a_page(error.status, "refused.html", frame, message=error.message, allowed=allowed)
    answer.reason = error.message
    return answer


def away(reason: str, frame: Frame) -> Answer:
    """A page that says that nothing can be shown now."""
    answer = a_page(503, "away.html", frame, reason=reason)
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    answer.reason = reason
    return answer


def a_page(status: int, template: str, frame: Frame, **context: Any) -> Answer:
    """A page without twins."""
    text = _on_time(rendered(template, frame=frame, status=status, **context))
    return Answer(text, status, SAFE, media_type="text/html")
