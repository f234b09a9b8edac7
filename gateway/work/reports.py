"""Takes pilots' reports: the usual ones in one statement; ghosts are told to stop, all others were heard at least."""

from collections.abc import Sequence

from gateway.access.identity import Identity
from gateway.access.policy import may_report
from gateway.ports import RequestStore
from gateway.work.coalesce import Coalescer
from gateway.work.requests import Requests
from panda_fsm.effects import Outgoing
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.judgement import LAST_WORDS, JobRow, Judgement, judge, note_of_foreign_batch
from panda_fsm.jobs.kills import TO_BE_KILLED
from panda_fsm.jobs.pilot_commands import for_last_words, said_twice, spoken
from panda_fsm.jobs.plain import is_beat
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
        taken = await self._requests.accept_plain(report, identity.key)
        if taken is not None:
            return _answer(report, taken.command)
        return await self._look_closer(report, identity)

    async def _look_closer(self, report: PilotReport, identity: Identity) -> str:
        """Repeats, ghosts, reports for somebody else's job, and of one that a pilot has left before.

        The statement before could write: the database is not one that is behind and knows less of the job.
        """
        job = await self._lookups.ask(report.job_id)
        judgement = judge(report, job, job is not None and may_report(identity, job))
        report.returns = None if job is None else job.returns
        report.told = None if job is None else said_twice(job.command)
        if judgement is Judgement.FOREIGN_BATCH:
            await self._requests.accept([Outgoing.of(note_of_foreign_batch(report))])
        if job is None or judgement in (Judgement.GHOST, Judgement.FOREIGN_BATCH):
            return TO_BE_KILLED
        if judgement is Judgement.HEARD and job.command is not None and job.command != TO_BE_KILLED:
            report.heartbeat = True  # what it shows is news, for it may have been told to show it
            await self._requests.accept_heartbeat(report)
            return _answer(report, job.command)
        if judgement is not Judgement.NEWS:
            if job.state not in FINAL:  # those have no deadline, and go to the archive
                await self._requests.hear(report.job_id)
            return for_last_words(job.command) or NO_COMMAND
        if is_beat(report, job.state):
            report.heartbeat = True
            await self._requests.accept_heartbeat(report)
        else:
            await self._requests.accept_report(report)
        return _answer(report, job.command)

    async def _look_up(self, job_ids: Sequence[int]) -> list[JobRow | None]:
        found = await self._store.jobs(sorted(set(job_ids)))
        return [found.get(job_id) for job_id in job_ids]


def _answer(report: PilotReport, command: str | None) -> str:
    """What the pilot is told. With its last words its job is over."""
    if command is None:  # nearly always
        return NO_COMMAND
    return (for_last_words(command) if report.state in LAST_WORDS else spoken(command)) or NO_COMMAND
