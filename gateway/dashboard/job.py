"""Job: what happened, why, and why is it waiting?"""

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import Filters
from gateway.dashboard.page import Page
from gateway.http.refusal import NotFoundError
from gateway.http.route import Call
from panda_fsm.specs.values import MAX_BIGINT
from panda_fsm.views.jobs import JobLife, LifeStep


def number_in(call: Call, what: str) -> int:
    """The number in the page's path. Raises NotFoundError for what is none."""
    text = str(call.request.path_params["name"])
    if not text.isascii() or not text.isdecimal() or int(text) > MAX_BIGINT:
        raise NotFoundError(f"{text!r:.80} is no {what}: a {what} is a number")
    return int(text)


async def look(board: Board, call: Call, _filters: Filters) -> JobLife:
    """Everything of one job, live or archived."""
    job_id = number_in(call, "PandaID")
    found = await board.store.jobs.life(job_id, board.sites)
    if found is None:
        raise NotFoundError(
            f"no job {job_id}: it is neither among live jobs nor in the archive. Its submission may not be handled yet,"
            " or its month of the archive was dropped."
        )
    return found


PAGE = Page("jobs/{name}", "Job", "job.html", look, Action.LOOK, LifeStep)
