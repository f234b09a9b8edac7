"""Takes pilots' reports: ghosts are told to stop, of all others it is written down that they live."""

from collections.abc import Sequence

from gateway.access.identity import Identity
from gateway.access.policy import may_report
from gateway.ports import RequestStore
from gateway.work.coalesce import Coalescer
from gateway.work.requests import Requests
from panda_fsm.effects import Outgoing
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.judgement import JobRow, Judgement, judge, note_of_foreign_batch
from panda_fsm.jobs.kills import TO_BE_KILLED
from panda_fsm.jobs.states import State
from panda_fsm.messages import PilotReport

NO_COMMAND = "NULL"
"""Never null: the real pilot fails its job over it."""


class Reports:
    """Looks jobs up many at a time, and accepts what is news."""

    def __init__(self, store: RequestStore, requests: Requests) -> None:
        self._store = store
        self._requests = requests
        self._lookups: Coalescer[int, JobRow | None] = Coalescer(self._look_up, 200)

    async def accept(self, report: PilotReport, identity: Identity) -> str:
        """The command for the pilot; its report is kept by then, or that it was heard noted. Raises TransientError."""
        job = await self._lookups.ask(report.job_id)
        judgement = judge(report, job, job is not None and may_report(identity, job))
        report.returns = None if job is None else job.returns
        if judgement is Judgement.FOREIGN_BATCH:
            await self._requests.accept([Outgoing.of(note_of_foreign_batch(report))])
        if job is None or judgement in (Judgement.GHOST, Judgement.FOREIGN_BATCH):
            # In a failover the job may be unknown to a database that is behind: its pilot is not stopped for that.
            await self._store.assert_current()
            return TO_BE_KILLED
        if judgement is not Judgement.NEWS:
            if job.state not in FINAL:  # those have no deadline, and go to the archive
                await self._requests.hear(report.job_id)
        elif report.state == "running" and job.state is State.RUNNING:
            report.heartbeat = True
            await self._requests.accept_heartbeat(report)
        else:
            await self._requests.accept_report(report)
        return job.command or NO_COMMAND

    async def _look_up(self, job_ids: Sequence[int]) -> list[JobRow | None]:
        found = await self._store.jobs(sorted(set(job_ids)))
        return [found.get(job_id) for job_id in job_ids]
