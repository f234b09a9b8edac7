"""System: are database, broker and daemon well, what runs here, and with which settings?"""

import platform
from datetime import UTC, datetime
from importlib.metadata import version

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import Filters
from gateway.dashboard.page import Page
from gateway.http.openapi import program_version
from gateway.http.route import Call
from panda_fsm.views.system import Named, SystemView, TableRow, judged

_LIBRARIES = ("psycopg", "pika", "starlette", "uvicorn", "pydantic", "transitions")


async def look(board: Board, _call: Call, _filters: Filters) -> SystemView:
    """The database and what is in it, the broker, versions, and the settings in force."""
    database, health = await board.store.system.database(), await board.store.health.now()
    duties, today = await board.store.system.duties(), datetime.now(UTC).date()
    broker, config = board.broker, board.config
    found = judged(database, broker, health, config.services, config.needed_schema, today, duties.rows)
    versions = (
        Named("panda-fsm", program_version()), Named("schema", database.schema), Named("PostgreSQL", database.version),
        Named("Python", platform.python_version()), *(Named(name, version(name)) for name in _LIBRARIES),
    )  # fmt: skip
    settings = tuple(Named(*setting) for setting in config.settings)
    return SystemView(database, broker, health, duties, tuple(found), versions, settings)


PAGE = Page("system", "System", "system.html", look, Action.LOOK, TableRow, Filters, "System", age_s=5)
