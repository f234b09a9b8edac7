"""The system's Chromium, for tests and pictures of our pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from lab import debian

_SWITCHES = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
)  # fmt: skip


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser of one's own: its event loop ends with it, so that others may have theirs."""
    debian.ensure([debian.BROWSER])
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=debian.chromium(), args=list(_SWITCHES))
        try:
            yield running
        finally:
            running.close()
