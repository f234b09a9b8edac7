"""The requests of JEDI, typed. Each waits until it is answered, however often the broker goes away meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from panda_fsm_jedi.bunches import MOST_IDS, MOST_RESERVED, bunches
from panda_fsm_jedi.errors import JediError
from panda_fsm_jedi.messages import Block, JobResult, JobStatus, Reply
from panda_fsm_jedi.requester import Asked, Requester

_AT_ONCE = 4
"""Bunches on their way: the server handles them one after the other."""
_LONGEST_ID = "0" * 36


class JediClient(Requester):
    """JEDI's requests for one VO; `with JediClient(url, vo) as client:`. May be used by several threads.

    Every method raises RefusedError where the server refuses the whole request, and, with a `timeout_s`,
    NotAnsweredError; without, it waits for as long as it takes.
    """

    timeout_s: float | None = None

    def ask(self, msg_type: str, fields: Mapping[str, Any]) -> Reply:
        """Any request, by its `msg_type` and fields."""
        return self.wait(self.post(msg_type, fields), self.timeout_s)

    def reserve_ids(self, count: int) -> Iterator[Block]:
        """So many PandaIDs, ours for ever, in blocks of at most 5,000."""
        for first in range(0, count, MOST_RESERVED):
            reply = self.ask("reserve_ids", {"count": min(MOST_RESERVED, count - first)})
            yield Block.model_validate(reply.model_extra)

    def submit_jobs(
        self,
        taskid: int,
        jobs: Sequence[Mapping[str, Any]],
        *,
        user: str,
        to_pending: bool = False,
        relationtype: str | None = None,
        fqans: Sequence[str] = (),
    ) -> list[JobResult]:
        """Hand over jobs of a task, in as many messages as they need; what became of each, in the same order.

        A job is a JobSpec by JEDI's attribute names, with its FileSpecs as `Files`, and `oldpandaids` for one that
        follows others (`relationtype` retry or merge). With PandaIDs of a granted block a job is stored once, however
        often it is handed over. A job that is not stored has an `error` in its result; the others are.
        Raises ValueError for a job that fits into no message (1 MiB).
        """
        fields = {"taskid": taskid, "user": user, "fqans": list(fqans), "to_pending": to_pending}
        fields |= {"relationtype": relationtype, "jobs": []}
        results: list[JobResult] = []
        asked: deque[tuple[Asked, int]] = deque()
        for bunch in bunches(jobs, beside=len(self.envelope("submit_jobs", _LONGEST_ID, fields))):
            asked.append((self.post("submit_jobs", fields | {"jobs": bunch}), len(bunch)))
            if len(asked) == _AT_ONCE:
                results += self._submitted(*asked.popleft())
        while asked:
            results += self._submitted(*asked.popleft())
        return results

    def _submitted(self, asked: Asked, count: int) -> list[JobResult]:
        reply = self.wait(asked, self.timeout_s)
        if len(reply.results) != count:
            raise JediError(f"{count} jobs were submitted and {len(reply.results)} answered ({asked.msg_id})")
        return [JobResult.model_validate(result) for result in reply.results]

    def release_jobs(self, jobids: Sequence[int]) -> None:
        """Let jobs go on that were submitted with `to_pending`; no effect on others."""
        for some in _chunks(jobids):
            self.ask("release_jobs", {"jobids": some})

    def kill_jobs(
        self, jobids: Sequence[int], *, code: int = 50, comment: str = "", options: Sequence[str] = ()
    ) -> dict[int, str]:
        """Kill jobs (code 50), have them ended for another place (51) or end the task early (52); `options` as in HTTP.

        The result of each: killed, kill_requested, already_final, not_found or forbidden. Repeating is harmless, and
        every job that is killed gets a final status.
        """
        results: dict[int, str] = {}
        asked = {"code": code, "comment": comment, "kill_options": list(options) or None}
        for some in _chunks(jobids):
            reply = self.ask("kill_jobs", {**asked, "jobids": some})
            results |= {int(one["jobid"]): str(one["result"]) for one in reply.results}
        return results

    def set_priority(self, taskid: int, priority: int) -> Reply:
        """Give all jobs of a task that have not ended this priority."""
        return self.ask("set_priority", {"taskid": taskid, "priority": priority})

    def set_share(self, taskids: Sequence[int], gshare: str) -> Reply:
        """Count all jobs of tasks that have not ended for this global share."""
        return self.ask("set_share", {"taskids": list(taskids), "gshare": gshare})

    def hold_task(self, taskid: int) -> Reply:
        """Give no more jobs of a task to pilots until `resume_task`; those that run go on."""
        return self.ask("hold_task", {"taskid": taskid})

    def resume_task(self, taskid: int) -> Reply:
        """Let jobs of a task that was held go on."""
        return self.ask("resume_task", {"taskid": taskid})

    def replay(
        self, *, since: int | None = None, taskid: int | None = None, jobids: Sequence[int] | None = None
    ) -> Iterator[JobStatus]:
        """What is the state of jobs now: those told of since a `seq`, those of a task, or those in a list (one of the
        three), a page at a time. To be taken like any other status: what is not newer is dropped."""
        if sum(value is not None for value in (since, taskid, jobids)) != 1:
            raise ValueError("replay is by since, by taskid or by jobids")
        if jobids is None:
            yield from self._pages({"since": since, "taskid": taskid})
        for some in _chunks(jobids or ()):
            yield from self._pages({"jobids": some})

    def _pages(self, asked: Mapping[str, Any]) -> Iterator[JobStatus]:
        after: Any = None
        while True:
            reply = self.ask("replay", {**asked, "after": after})
            yield from map(JobStatus.model_validate, reply.results)
            after = (reply.model_extra or {}).get("next")
            if after is None:
                return


def _chunks(jobids: Sequence[int]) -> Iterator[list[int]]:
    return (list(jobids[first : first + MOST_IDS]) for first in range(0, len(jobids), MOST_IDS))
