"""`replay`: the present state of jobs in pages, for who missed what was told of them. It is read anew each time."""

from collections.abc import Collection

from jedi.ports import StatusPages
from jedi.replies import ReplayReply, Reply
from jedi.requests import RefusedError, Replay
from jedi.status import body
from panda_fsm.answers import NO_DEED, Deed
from panda_fsm.statuses import Page


class Replayer:
    """`vos`: those of the settings; who names none asks for the only one. The bodies are those of the status queues."""

    def __init__(self, pages: StatusPages, vos: Collection[str]) -> None:
        self._pages = pages
        self._only = next(iter(vos)) if len(vos) == 1 else None

    def __call__(self, actor: str, request: Replay) -> tuple[Reply, Deed]:
        vo = request.vo or self._only
        if vo is None:
            raise RefusedError("vo: is missing, and there is not just one")
        try:
            page = self._page(vo, request)
        except ValueError as error:
            raise RefusedError(str(error)) from None
        return ReplayReply(taskid=request.taskid, results=[body(job) for job in page.jobs], next=page.after), NO_DEED

    def _page(self, vo: str, request: Replay) -> Page:
        if request.since is not None:
            return self._pages.since(vo, request.since, request.after, request.limit)
        if request.taskid is not None:
            return self._pages.of_task(vo, request.taskid, request.after, request.limit)
        return self._pages.of_jobs(vo, request.jobids or (), request.after, request.limit)
