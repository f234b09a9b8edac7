"""Pages for the command line: the same filters, the same look and the same JSON, without a request."""

from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request

from gateway.access.identity import Identity
from gateway.config import GatewayConfig
from gateway.dashboard import twins
from gateway.dashboard.board import Board
from gateway.dashboard.page import Page
from gateway.dashboard.ports import DashboardStore
from gateway.http.route import Call
from panda_fsm.sites import SitesNow

_WHO = Identity("command line", "operator", "operator")
"""Whoever reaches the database may see everything."""


def filters(page: Page, asked: Mapping[str, object]) -> Any:
    """The page's filters of what was typed, where anything was. Raises FilterError."""
    return page.filters.model_validate({name: str(value) for name, value in asked.items() if value is not None})


def look(
    page: Page, store: DashboardStore, sites: SitesNow, services: tuple[str, ...], wanted: Any, name: str
) -> Awaitable[Any]:
    """What the page shows; `name` is the last part of its path, where it has one. Raises NotFoundError.

    `services` must be served beside the gateway.
    """
    scope = {"type": "http", "path_params": {"name": name}, "query_string": b"", "headers": []}
    board = Board(store, None, GatewayConfig("127.0.0.1", 0, Path(), services=services), sites)
    return page.look(board, Call(_WHO, Request(scope)), wanted)


def as_json(view: Any) -> str:
    """The page's JSON twin, as of now."""
    return twins.as_json(view, datetime.now(UTC)).decode()


def plain(part: Any) -> Any:
    """A part of a view, as JSON has it."""
    return twins.plain(part)
