"""The usual report: what must be true of its job so that it is news without a closer look (ADR 0022)."""

from dataclasses import dataclass

from panda_fsm.effects import Outgoing
from panda_fsm.jobs.facts import FACTS, OnReport
from panda_fsm.jobs.states import State
from panda_fsm.messages import PilotReport

PLAIN_STATES: tuple[State, ...] = tuple(state for state, facts in FACTS.items() if facts.on_report is OnReport.NEWS)
"""Where whatever the holder says is news."""
BEATING = State.RUNNING
"""A report that says what the job is already, and nothing more, is a heartbeat."""


@dataclass(frozen=True, slots=True)
class PlainReport:
    """A report and whose it is, as it can be checked and kept in one statement.

    It is plain when the job is in one of PLAIN_STATES with this holder, of the attempt and the batch that the report
    names if it names them, and was never left by a pilot. Then `judge` says NEWS: a test holds one to the other.
    """

    message: Outgoing
    job_id: int
    holder: str
    attempt_nr: int | None
    batch_id: str
    may_beat: bool
    """It is a heartbeat if the job is BEATING."""

    @classmethod
    def of(cls, report: PilotReport, holder: str) -> "PlainReport":
        """Of a job that no pilot has left, and the message says so."""
        report.returns = 0
        batch_id = str(report.attributes.get("batch_id", ""))
        may_beat = is_beat(report, BEATING)
        return cls(Outgoing.of(report), report.job_id, holder, report.attempt_nr, batch_id, may_beat)


@dataclass(frozen=True, slots=True)
class Taken:
    """A plain report was taken: what the pilot is told, and whether only that it was heard is written down."""

    command: str | None
    is_heartbeat: bool


def is_beat(report: PilotReport, state: State) -> bool:
    """Whether the report says only that its job goes on."""
    return state is BEATING and report.state == BEATING.value
