"""Now: is work flowing, and if not, where does it stop?"""

from datetime import UTC, datetime

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import Filters
from gateway.dashboard.page import Page
from gateway.http.route import Call
from panda_fsm.views.capacity import capacity
from panda_fsm.views.dead_letters import Wanted
from panda_fsm.views.now import NowView, needs, underway, worth_a_look
from panda_fsm.views.pipeline import Stage, flow_view
from panda_fsm.views.system import judged

_MINUTES = 5
_DATABASE_S = 10.0
"""Sizes and connections change slowly, and cost most to look up."""


async def look(board: Board, _call: Call, _filters: Filters) -> NowView:
    """The pipeline with rates and where it piles up, what needs a human, what is at work, and the queues."""
    store = board.store
    flow = flow_view(await store.flow.flow(minutes=_MINUTES), await store.flow.states(), await store.flow.series())
    queues, workers = await store.queues.now(), await store.workers.now()
    health, config = await store.health.now(), board.config
    database = await board.shared(("database",), store.system.database, _DATABASE_S)
    found = judged(database, board.broker, health, config.services, config.needed_schema, datetime.now(UTC).date())
    shown, more = worth_a_look(queues)
    letters = await store.dead_letters.groups(Wanted())
    wanting = needs(found, queues, await store.stuck.summary(), letters, flow)
    return NowView(flow, wanting, underway(workers, queues), capacity(workers), health, shown, more)


PAGE = Page("", "Now", "now.html", look, Action.LOOK, Stage, Filters, "Now")
