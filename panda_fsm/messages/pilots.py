"""What pilots report."""

from typing import Annotated, Literal

from pydantic import Field

from panda_fsm.jobs.drafts import Storable
from panda_fsm.messages.envelope import JobMessage

ReportState = Literal["starting", "running", "holding", "transferring", "finished", "failed"]
LARGE_REPORT = 64 * 1024
"""Characters of output report and metadata from which on a report goes to a queue of which few are held at a time."""


class PilotReport(JobMessage):
    """What a pilot says of its job. `output_report` is the pilot's JSON (or XML) text of the files it stored.

    Without an attempt it is of the job as it is. `returns`: how often the job had come back from silent pilots when
    this was accepted; nothing of it is taken when the job went to another pilot since. `foreign_batch`: it comes from a
    ghost, and nothing of it is taken. `told`: a command that its answer holds, and that is not said for ever.
    """

    msg_type: Literal["pilot_report"] = "pilot_report"
    attempt_nr: Annotated[int, Field(ge=0, le=32767)] | None = None
    state: ReportState
    returns: int | None = None
    heartbeat: bool = False
    foreign_batch: bool | None = None
    told: Storable | None = None
    output_report: Storable | None = None
    attributes: dict[Storable, Storable | int | float] = Field(default_factory=dict)

    @property
    def routing_key(self) -> str:
        if self.heartbeat or self.foreign_batch:
            return "heartbeat"
        return "large.report" if self.is_large else f"report.{self.state}"

    @property
    def is_large(self) -> bool:
        """Whether it weighs as much as hundreds of others."""
        texts = (value for value in self.attributes.values() if isinstance(value, str))
        return len(self.output_report or "") + sum(map(len, texts)) > LARGE_REPORT
