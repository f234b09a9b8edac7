"""Pictures of every page of the dashboards, taken of a private system with traffic in it."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page
from rich.console import Console

from gateway.dashboard.table import PAGES
from lab import traffic
from lab.browser import browser
from lab.site import FAILING_QUEUE
from lab.system import RUN_DIR, System

DIRECTORY = RUN_DIR / "screenshots"
LARGEST = 200_000
_HEIGHTS = (1200, 900, 600)
_WIDE, _NARROW = 1440, 360
_SETTLE_MS = 400
_SEARCH = "go"
"""It leads to what was found: there is nothing to see of its own."""
_FOUND_AT: Mapping[str, str] = {
    "jobs/{name}": "/ui/jobs?state=failed", "sites/{name}": "/ui/sites", "queues/{name}": "/ui/queues",
    "tasks/{name}": "/ui/jobs", "dead/{name}": "/ui/dead",
}  # fmt: skip
"""Where the link to one of each stands; the first is taken."""
_NAMED: Mapping[str, str] = {"sites/{name}": FAILING_QUEUE, "queues/{name}": "watcher"}
"""Which of them tells most."""

Scheme = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture: of which page, how wide, light or dark."""

    path: str
    width: int = _WIDE
    scheme: Scheme = "light"

    @property
    def file(self) -> str:
        """Its name."""
        page = self.path.replace("s/{name}", "").replace("/{name}", "-one") or "now"
        narrow = "-narrow" if self.width < _WIDE else ""
        return f"{page}{narrow}{'-dark' if self.scheme == 'dark' else ''}.png"


def shots() -> Iterator[Shot]:
    """Each page wide and light; a few as they are at night, and on a telephone."""
    paths = [page.path for page in PAGES if page.path != _SEARCH]
    yield from (Shot(path) for path in paths)
    yield from (Shot(path, scheme="dark") for path in paths if path in ("", "jobs/{name}"))
    yield from (Shot(path, _NARROW, "dark") for path in paths if path in ("", "jobs"))


def take(place: Path, rate: float, minutes: float, only: Collection[str], say: Callable[[str], None]) -> list[Path]:
    """Start, let jobs flow for so long, take all pictures, or those that are named; stop everything. The files."""
    # An address of somebody else's service in the environment is not for us to fill with jobs.
    for name in [name for name in os.environ if name.startswith("PANDA_FSM_")]:
        del os.environ[name]
    place.mkdir(parents=True, exist_ok=True)
    system = System(DIRECTORY)
    try:
        with system, _flowing(rate):
            say(f"{system.url}/ui/ with traffic at {rate:g} jobs/s for {minutes:g} minutes")
            time.sleep(minutes * 60)
            with browser() as running:
                wanted = [shot for shot in shots() if not only or shot.file.removesuffix(".png") in only]
                return [_taken(running, system.url, shot, place, say) for shot in wanted]
    finally:
        system.down()
        system.services.remove()
        shutil.rmtree(DIRECTORY, ignore_errors=True)


@contextmanager
def _flowing(rate: float) -> Iterator[None]:
    """Traffic in a process of its own."""
    process = multiprocessing.get_context("spawn").Process(target=_flow, args=(rate,), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _flow(rate: float) -> None:
    system = System(DIRECTORY)
    port = int(system.url.rpartition(":")[2])
    with Path(os.devnull).open("w") as nowhere:
        traffic.run(port, system.services.broker_url, system.lab, rate, None, Console(file=nowhere))


def _taken(running: Browser, origin: str, shot: Shot, place: Path, say: Callable[[str], None]) -> Path:
    context = running.new_context(viewport={"width": shot.width, "height": 900}, color_scheme=shot.scheme)
    try:
        page = context.new_page()
        page.goto(f"{origin}{_path(page, origin, shot.path)}")
        page.wait_for_timeout(_SETTLE_MS)
        file = place / shot.file
        _small(page, file, shot.width)
        say(f"{file}: {file.stat().st_size / 1000:.0f} kB")
        return file
    finally:
        context.close()


def _path(page: Page, origin: str, path: str) -> str:
    """Where the page is; of those with a name, one that is there."""
    if "{name}" not in path:
        return f"/ui/{path}"
    if path in _NAMED:
        return f"/ui/{path.replace('{name}', _NAMED[path])}"
    before = f"/ui/{path.removesuffix('{name}')}"
    page.goto(f"{origin}{_FOUND_AT.get(path, before.rstrip('/'))}")
    links = page.eval_on_selector_all("main a[href]", "all => all.map(one => one.getAttribute('href'))")
    return next((link for link in links if link.startswith(before) and "?" not in link), before.rstrip("/"))


def _small(page: Page, file: Path, width: int) -> None:
    """As much of the page as makes a file that is not too large."""
    whole = int(page.evaluate("document.documentElement.scrollHeight"))
    for height in _HEIGHTS:
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, max(whole, _HEIGHTS[-1]))}
        page.screenshot(path=file, full_page=True, clip=clip, animations="disabled")  # type: ignore[arg-type]
        if file.stat().st_size < LARGEST:
            return
