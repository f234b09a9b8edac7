"""Which reports are news, which are repeats, and which pilots are ghosts (docs/semantics.md §3.4)."""

import re
from dataclasses import dataclass
from enum import Enum

from panda_fsm.jobs.facts import FACTS, FINAL, OnReport
from panda_fsm.jobs.states import State
from panda_fsm.messages.pilots import PilotReport

_NUMBER = re.compile(r"[0-9.]+")
LAST_WORDS = frozenset({"finished", "failed"})


class Judgement(Enum):
    """What to do with a report."""

    NEWS = "it is handled"
    HEARD = "it says nothing new, but its pilot lives"
    ALREADY_DONE = "the same was reported before"
    GHOST = "this pilot does not have this job"
    FOREIGN_BATCH = "the holder's, but of another batch: a ghost that is noted"


@dataclass(slots=True)
class JobRow:
    """What is read of a job before a report or a kill is accepted."""

    job_id: int
    state: State
    attempt_nr: int
    owner: str
    holder: str | None
    label: str
    command: str | None
    batch_id: str | None
    has_report: bool
    vo: str = ""
    node: str | None = None
    left_by: list[str] | None = None
    is_jedis: bool = False
    working_group: str = ""
    """Read only for those who have a role in one."""
    task_is_held: bool = False
    """Looked up only where it is to be let go."""

    @property
    def returns(self) -> int:
        """How many pilots were given the job and never spoke of it."""
        return len(self.left_by or ())


def judge(report: PilotReport, job: JobRow | None, may_report: bool) -> Judgement:
    """Compare a report with the job; attempt, batch id and who may report are the guards against ghosts."""
    if job is None or not may_report or report.attempt_nr not in (None, job.attempt_nr) or _lost_it(report, job):
        return Judgement.GHOST
    if _other_batch(report, job):
        return Judgement.GHOST if job.state in FINAL else Judgement.FOREIGN_BATCH
    last_words = report.state in LAST_WORDS
    match FACTS[job.state].on_report:
        case OnReport.NEWS:
            return Judgement.NEWS
        case OnReport.LAST_WORDS if job.has_report:
            return Judgement.ALREADY_DONE
        case OnReport.LAST_WORDS:
            return Judgement.NEWS if last_words else Judgement.HEARD
        case OnReport.REPEATED if last_words and job.has_report:
            return Judgement.ALREADY_DONE
    # No pilot has it; or it was killed or expired meanwhile, which is not this report's doing: its pilot must stop.
    return Judgement.GHOST


def note_of_foreign_batch(report: PilotReport) -> PilotReport:
    """What is kept of a report of another batch: that it came."""
    batch_id = report.attributes["batch_id"]
    return report.model_copy(
        update={"foreign_batch": True, "output_report": None, "attributes": {"batch_id": batch_id}}
    )


def _lost_it(report: PilotReport, job: JobRow) -> bool:
    """Whether it comes from where a pilot was silent for so long that the job went to another one elsewhere."""
    if not job.left_by:
        return False
    node = report.attributes.get("node")
    return node != job.node and node in job.left_by


def _other_batch(report: PilotReport, job: JobRow) -> bool:
    """Batch systems restart jobs under a new id; ids of digits and dots say nothing across batch systems."""
    reported = str(report.attributes.get("batch_id", ""))
    known = job.batch_id or ""
    if not reported or not known or _NUMBER.fullmatch(reported) or _NUMBER.fullmatch(known):
        return False
    return reported != known
