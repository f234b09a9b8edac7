"""A page of the dashboards: one row of the table from which its routes are made."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateway.access.policy import Action
from gateway.dashboard.board import AGE_S, Board
from gateway.dashboard.filters import Filters
from gateway.http.route import Call

Look = Callable[[Board, Call, Any], Awaitable[Any]]
"""Looks, and returns a frozen dataclass: what the template shows and the JSON twin says."""
Badge = Callable[[Board], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Page:
    """One page and its twins.

    `path` below /ui/, its last part may be `{name}`. `row`: the dataclass of the view's `rows`, which are its CSV twin.
    `navigation`: what it is called there; None: it is not there. `badge`: what stands beside that, where it is not 0.
    `leads_to`: where a browser is sent instead of being shown the view; None: nowhere.
    `is_shared`: the same for whoever looks, so that one look serves all of them. `age_s`: so old may be what is shown.
    """

    path: str
    title: str
    template: str
    look: Look
    access: Action
    row: type
    filters: type[Filters] = Filters
    navigation: str | None = None
    badge: Badge | None = None
    is_shared: bool = True
    age_s: float = AGE_S
    leads_to: Callable[[Any], str | None] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"/ui/{self.path}"

    def twin(self, ending: str) -> str:
        """Where its JSON or CSV is; Now has no name in its path, so its twins have one."""
        return f"/ui/{self.path or 'now'}.{ending}"
