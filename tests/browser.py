"""A browser that looks at our pages as people do, and hears what it complains of: the system's Chromium."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
_TOO_WIDE = """() => {
    const most = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= most) return "";
    const scrolls = (one) => one && (getComputedStyle(one).overflowX !== "visible" || scrolls(one.parentElement));
    const wide = [...document.querySelectorAll("main *")].find(
        (one) => one.getBoundingClientRect().right > most + 1 && !scrolls(one.parentElement));
    return wide ? wide.outerHTML.slice(0, 200) : "something";
}"""
"""What is beyond the edge of the screen, where the page itself would have to be moved."""


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
        """Go there, and look for what keeps people from using it: on large and small screens, light and dark."""
        self.open(path)
        self.page.evaluate(Axe().axe_script)
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 900})
            wide = self.page.evaluate(_TOO_WIDE)
            if wide:
                self.complaints.append(f"{path}: wider than a screen of {width}: {wide}")
            for scheme in SCHEMES:
                self.page.emulate_media(color_scheme=scheme)
                found = grave(self.page, () if scheme == SCHEMES[0] else ("color-contrast",))
                self.complaints += [f"{path} {width} {scheme}: {one}" for one in found]
        self.page.set_viewport_size({"width": WIDTHS[0], "height": 900})


def grave(page: Page, rules: Sequence[str] = ()) -> list[str]:
    """What axe, which the page has already, finds that is serious, by these of its rules or by all."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found: list[dict[str, Any]] = page.evaluate("options => axe.run(options).then(found => found.violations)", options)
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
