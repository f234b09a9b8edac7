"""Takes pilots' reports: ghosts are told to stop, everything else is confirmed by the broker before the answer."""

from collections.abc import Sequence
from enum import Enum

from gateway.work.coalesce import Coalescer
from gateway.ports import Store
from gateway.work.requests import Requests
from panda_fsm.dispatch import JobRow
from panda_fsm.messages import PilotReport
from panda_fsm.jobs.states import FINAL, HELD_BY_PILOT, State

NO_COMMAND = "NULL"
"""Never null: the real pilot fails its job over it."""
TO_BE_KILLED = "tobekilled"
_LAST_WORDS = ("finished", "failed")


class Judgement(Enum):
    """What to do with a report."""

    PUBLISH = "it is news"
    ALREADY_DONE = "the same was reported before"
    GHOST = "this pilot does not have this job"


def judge(report: PilotReport, job: JobRow | None, holder: str) -> Judgement:
    """Compare a report with the job; attempt, identity and batch id are the guards against ghosts."""
    if job is None or report.attempt_nr != job.attempt_nr or holder != job.holder or _other_batch(report, job):
        return Judgement.GHOST
    last_words = report.state in _LAST_WORDS
    if job.state in FINAL:
        # A job that was killed or expired meanwhile is not this report's doing: its pilot must stop.
        repeated = last_words and job.has_report
        return Judgement.ALREADY_DONE if repeated else Judgement.GHOST
    if job.state in HELD_BY_PILOT:
        return Judgement.PUBLISH
    if job.state in (State.HOLDING, State.TRANSFERRING):
        return Judgement.PUBLISH if last_words and not job.has_report else Judgement.ALREADY_DONE
    return Judgement.GHOST


def _other_batch(report: PilotReport, job: JobRow) -> bool:
    """Batch systems restart jobs under a new id; ids that are numbers say nothing across batch systems."""
    reported = str(report.attributes.get("batch_id", ""))
    known = job.batch_id or ""
    if not reported or not known or reported.isdigit() or known.isdigit():
        return False
    return reported != known


class Reports:
    """Looks jobs up many at a time, and sends what is news."""

    def __init__(self, store: Store, requests: Requests) -> None:
        self._store = store
        self._requests = requests
        self._lookups: Coalescer[int, JobRow | None] = Coalescer(self._look_up, 200)

    async def accept(self, report: PilotReport, holder: str) -> str:
        """The command for the pilot. When it returns the report is durable. Raises TransientError otherwise."""
        job = await self._lookups.ask(report.job_id)
        judgement = judge(report, job, holder)
        if job is None or judgement is Judgement.GHOST:
            return TO_BE_KILLED
        if judgement is Judgement.PUBLISH:
            report.heartbeat = report.state == "running" and job.state is State.RUNNING
            await self._requests.send([report])
        return job.command or NO_COMMAND

    async def _look_up(self, job_ids: Sequence[int]) -> list[JobRow | None]:
        found = await self._store.jobs(sorted(set(job_ids)))
        return [found.get(job_id) for job_id in job_ids]
