"""Stuck: what has not moved, and which hop is broken?"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import Filters, Text, one_of
from gateway.dashboard.page import Page
from gateway.http.route import Call
from panda_fsm.views.stuck import BY_NAME, Rule, StuckJob, StuckNow


class StuckFilters(Filters):
    """Which of it."""

    rule: Annotated[str, one_of(tuple(BY_NAME))] | None = Field(None, description=f"one of {', '.join(BY_NAME)}")
    site: Text | None = Field(None, description="a PanDA queue, as it is called here")

    @property
    def rules(self) -> tuple[str, ...]:
        """To choose from."""
        return tuple(BY_NAME)


@dataclass(frozen=True, slots=True)
class StuckRow:
    """What one rule finds at one place."""

    rule: str
    place: str
    count: int
    noun: str
    oldest_at: datetime | None
    hop: str
    owner: str
    suggests: str
    runbook: str


@dataclass(frozen=True, slots=True)
class StuckPage:
    """What is stuck. `jobs`: some of those of the rule that was asked for, with `chosen` what it finds."""

    rows: tuple[StuckRow, ...]
    found: tuple[StuckNow, ...]
    chosen: StuckNow | None
    rule: Rule | None
    jobs: tuple[StuckJob, ...]


async def look(board: Board, _call: Call, filters: StuckFilters) -> StuckPage:
    """What has not moved, by rule and place; with a rule some of its jobs too."""
    found = [one for one in await board.store.stuck.summary() if filters.rule in (None, one.rule.name)]
    rule = None if filters.rule is None else BY_NAME[filters.rule]
    jobs = [] if rule is None else await board.store.stuck.jobs(rule, filters.site)
    rows = (
        StuckRow(one.rule.name, place.name, place.count, place.noun, place.oldest_at, one.rule.hop, one.rule.owner,
                 one.rule.suggests, one.rule.runbook)
        for one in found for place in one.places if filters.site in (None, place.name)
    )  # fmt: skip
    chosen = found[0] if rule is not None and found else None
    return StuckPage(tuple(rows), tuple(found), chosen, rule, tuple(jobs))


async def count(board: Board) -> int:
    """At how many places something is stuck."""
    return sum(len(one.places) for one in await board.store.stuck.summary())


PAGE = Page("stuck", "Stuck", "stuck.html", look, Action.LOOK, StuckRow, StuckFilters, "Stuck", count)
