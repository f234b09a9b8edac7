"""A browser that looks at our pages as people do, and hears what it complains of: the system's Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from lab.browser import browser

__all__ = ["SCHEMES", "WIDTHS", "Window", "browser", "grave", "window"]

WIDTHS = (1440, 360)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_GRAVE = ("serious", "critical")


@dataclass
class Window:
    """A page that is looked at, and what is wrong with what it shows."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go there; what is wrong with it is added to the complaints."""
        answer = self.page.goto(f"{self.origin}{path}")
        if answer is None or answer.status != 200:
            self.complaints.append(f"{path}: {answer and answer.status}")

    def examine(self, path: str) -> None:
        """Go there, and look for what keeps people from using it."""
        self.open(path)
        self.complaints += [f"{path}: {one}" for one in grave(self.page)]
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            self.complaints.append(f"{path}: {wide} px wider than the screen")


def grave(page: Page) -> list[str]:
    """What axe finds that is serious."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]} ({one['nodes'][0]['failureSummary'][:200]})"
        for one in found
        if one["impact"] in _GRAVE
    ]


@contextmanager
def window(
    running: Browser, origin: str, width: int = 1440, scheme: Literal["light", "dark"] = "light", **options: Any
) -> Iterator[Window]:
    """A window so wide, of somebody who likes it light or dark."""
    context = running.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
    page = context.new_page()
    page.set_default_timeout(30_000)
    looking = Window(page, origin)
    page.on("console", lambda said: _note(looking, f"console: {said.text}") if said.type == "error" else None)
    page.on("pageerror", lambda error: _note(looking, f"script: {error}"))
    page.on("request", lambda asked: _look_where(looking, asked.url))
    try:
        yield looking
    finally:
        context.close()


def _note(looking: Window, complaint: str) -> None:
    looking.complaints.append(f"{looking.page.url}: {complaint}")


def _look_where(looking: Window, url: str) -> None:
    there, here = urlsplit(url), urlsplit(looking.origin)
    if there.scheme not in ("data", "blob", "about") and (there.scheme, there.netloc) != (here.scheme, here.netloc):
        _note(looking, f"asks {url} of somebody else")
