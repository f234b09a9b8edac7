"""What the simulated traffic shows while it flows: a table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lab.traffic_cast import PLACES
from lab.traffic_line import Line

if TYPE_CHECKING:
    from lab.traffic import Counts

REFRESH_S = 1.0
PLAIN_S = 10.0
_KNOWN_FOR = {
    "LAB_STEADY": "one black hole among its nodes", "LAB_FAILING": "most of its jobs fail", "LAB_SLOW": "piles up",
}  # fmt: skip


class View:
    """Shows the counts until the end."""

    def __init__(self, console: Console, counts: Counts, line: Line) -> None:
        self._console, self._counts, self._line = console, counts, line
        self._began = time.monotonic()

    async def watch(self, ending: asyncio.Event) -> None:
        """Returns at the end."""
        if not self._console.is_terminal:
            while not await _over(ending, PLAIN_S):
                self._console.print(self._sentence(), highlight=False, soft_wrap=True)
            return
        with Live(self._table(), console=self._console, auto_refresh=False) as live:
            while not await _over(ending, REFRESH_S):
                live.update(self._table(), refresh=True)
            live.update(self._table(), refresh=True)

    def sum_up(self) -> None:
        """The last words."""
        self._console.print(self._sentence(), highlight=False, soft_wrap=True)
        waiting = sum(self._counts.waiting(place) for place in PLACES)
        if waiting > 0:
            self._console.print(f"about {waiting} jobs wait for pilots: the next `make traffic` takes them")

    def _sentence(self) -> str:
        counts = self._counts
        said = (
            f"{time.monotonic() - self._began:5.0f} s  {counts.submitted.total()} submitted,"
            f" {counts.finished.total()} finished, {counts.failed.total()} failed, {counts.killed} killed,"
            f" {counts.silent} pilots silent, {counts.poison} poison messages"
        )
        said += f", {self._line.refused} requests refused" if self._line.refused else ""
        return f"{said}; {self._line.trouble}" if self._line.trouble else said

    def _table(self) -> RenderableType:
        table = Table("queue", "submitted", "taken", "finished", "failed", "wait", "", box=None, header_style="dim")
        for column in table.columns[1:6]:
            column.justify = "right"
        for place in PLACES:
            figures = (one[place.queue] for one in (self._counts.submitted, self._counts.taken))
            ended = (one[place.queue] for one in (self._counts.finished, self._counts.failed))
            shown = (f"{number:,}" for number in (*figures, *ended, max(0, self._counts.waiting(place))))
            table.add_row(place.queue, *shown, Text(_KNOWN_FOR[place.queue], style="dim"))
        return Group(Text(self._sentence()), table, Text("Ctrl-C ends it", style="dim"))


async def _over(ending: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(ending.wait(), seconds)
    except TimeoutError:
        return False
    return True
