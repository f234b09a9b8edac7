"""Facts: what was committed, and what the daemon found."""

import time
from typing import ClassVar, Literal

from pydantic import Field

from panda_fsm.codes import Verdict
from panda_fsm.jobs.deadlines import SAID_BY_PILOTS, Activity
from panda_fsm.jobs.drafts import BlockName, Id, Name
from panda_fsm.jobs.states import State
from panda_fsm.messages.envelope import EVENTS, JobMessage, Message, Schema

_SINCE_2 = frozenset({State.WAITING, State.THROTTLED, State.MERGING})


def schema_of(*named: State | None) -> Schema:
    """The schema of a message that names these states: programs of the release before do not know all of them."""
    return 1 if _SINCE_2.isdisjoint(named) else 2


class JobEvent(JobMessage):
    """A committed transition: `version` grows by one per job, so receivers drop what is not newer."""

    exchange: ClassVar[str] = EVENTS
    msg_type: Literal["job_event"] = "job_event"
    version: int
    state: State
    previous: State | None = None
    trigger: str
    site: str = ""
    vo: str = ""
    task_id: int = 0
    at: float = Field(default_factory=time.time)

    @property
    def routing_key(self) -> str:
        return f"job.{self.state}"


class OutputsAdded(JobMessage):
    """The Adder registered a job's outputs and nothing is left to move."""

    exchange: ClassVar[str] = EVENTS
    msg_type: Literal["outputs_added"] = "outputs_added"
    version: int
    verdict: Verdict

    @property
    def routing_key(self) -> str:
        return "job.outputs_added"


class DeadlinePassed(JobMessage):
    """A job stayed too long in `state`; acted on only while it is still there, in that version.

    `worker_done`: the worker that its pilot ran in has ended. `missing`: what there was none of around it, for so long
    as the deadline says that looks at this; programs before say and know `is_idle`, of what pilots say alone.
    """

    msg_type: Literal["deadline_passed"] = "deadline_passed"
    state: State
    version: int
    worker_done: bool | None = None
    is_idle: bool | None = None
    missing: Activity | None = None

    @property
    def routing_key(self) -> str:
        return "deadline"

    @property
    def missed(self) -> frozenset[Activity]:
        """What there was none of: no job has two deadlines that look at what pilots say."""
        if self.missing is not None:
            return frozenset({self.missing})
        return SAID_BY_PILOTS if self.is_idle else frozenset()


class CheckBlock(Message):
    """Look whether this block can be closed; said again by the daemon. Programs before know it by one of its jobs."""

    exchange: ClassVar[str] = EVENTS
    msg_type: Literal["check_block"] = "check_block"
    block: BlockName = ""
    job_id: Id | None = None

    @property
    def routing_key(self) -> str:
        return "block.check"

    @property
    def job_ids(self) -> tuple[int, ...]:
        return () if self.job_id is None else (self.job_id,)


class SettleBlock(Message):
    """The DDM is to close a block that holds all it ever will, or to delete one that nobody uses any more."""

    exchange: ClassVar[str] = EVENTS
    schema_version: Schema = 2
    msg_type: Literal["settle_block"] = "settle_block"
    block: BlockName
    status: Literal["closed", "deleted"]

    @property
    def routing_key(self) -> str:
        return "block.settle"


class BlockClosed(Message):
    """A sub-destination block holds all it ever will, or nothing of a destination block is to come now: should a job of
    its task come later, it is said again."""

    exchange: ClassVar[str] = EVENTS
    msg_type: Literal["block_closed"] = "block_closed"
    block: BlockName
    kind: Literal["sub", "destination"] = "sub"
    status: Name = ""
    number_files: int = 0
    vo: Name = ""
    task_id: int = 0

    @property
    def routing_key(self) -> str:
        return "block.closed"
