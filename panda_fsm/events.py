"""Every message that crosses the broker, defined once: fields, limits, routing key."""

import time
from random import getrandbits
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from panda_fsm.drafts import BlockName, Id, JobDraft, Lfn, Name, Scope, Storable, Text
from panda_fsm.errors import PoisonError
from panda_fsm.states import State

REQUESTS = "panda.requests"
"""Exchange for what the outside asks or reports."""
EVENTS = "panda.events"
"""Exchange for facts: `job.<state>`, `job.outputs_added`, `block.<status>`."""


def new_message_id() -> str:
    """A UUIDv7: unique, and ordered by time so that the outbox index grows at one end."""
    stamp, noise = time.time_ns() // 1_000_000, getrandbits(74)
    high, low = (noise >> 62) & 0xFFF, noise & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000
    return f"{stamp >> 16:08x}-{stamp & 0xFFFF:04x}-7{high:03x}-{low >> 48:04x}-{low & 0xFFFFFFFFFFFF:012x}"


class Message(BaseModel):
    """What every message carries. Ids live in the body: STOMP refuses a message-id header."""

    model_config = ConfigDict(extra="forbid")
    exchange: ClassVar[str] = REQUESTS

    schema_version: Literal[1] = 1
    message_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")] = Field(
        default_factory=new_message_id
    )
    cause: str | None = None

    @property
    def routing_key(self) -> str:
        raise NotImplementedError

    @property
    def job_ids(self) -> tuple[int, ...]:
        """The jobs that must be loaded to handle this message."""
        return ()

    def encode(self) -> bytes:
        """The body as it goes on the wire."""
        return self.model_dump_json(exclude_none=True).encode()


class SubmitJobs(Message):
    """Jobs to create. The PandaIDs come with it, so that submitting twice creates once."""

    msg_type: Literal["submit_jobs"] = "submit_jobs"
    owner: Name
    to_pending: bool = False
    jobs: list[JobDraft] = Field(min_length=1, max_length=10_000)

    @property
    def routing_key(self) -> str:
        return "submit"


class ReleaseJobs(Message):
    """JEDI lets pending jobs go."""

    msg_type: Literal["release_jobs"] = "release_jobs"
    jobs: list[Id] = Field(min_length=1, max_length=10_000)
    actor: Name = ""

    @property
    def routing_key(self) -> str:
        return "release"

    @property
    def job_ids(self) -> tuple[int, ...]:
        return tuple(self.jobs)


ReportState = Literal["starting", "running", "holding", "transferring", "finished", "failed"]


class PilotReport(Message):
    """What a pilot says of its job. `output_report` is the pilot's JSON (or XML) text of the files it stored."""

    msg_type: Literal["pilot_report"] = "pilot_report"
    job_id: Id
    attempt_nr: Annotated[int, Field(ge=0, le=32767)] = 0
    state: ReportState
    heartbeat: bool = False
    output_report: Storable | None = None
    attributes: dict[Storable, Storable | int | float] = Field(default_factory=dict)

    @property
    def routing_key(self) -> str:
        return "heartbeat" if self.heartbeat else f"report.{self.state}"

    @property
    def job_ids(self) -> tuple[int, ...]:
        return (self.job_id,)


class KillJob(Message):
    """A user or JEDI wants the job gone. Codes: panda-semantics.md §1.3."""

    msg_type: Literal["kill_job"] = "kill_job"
    job_id: Id
    code: Annotated[int, Field(ge=0, le=999)] = 0
    actor: Name = ""
    reason: Text = ""
    forced: bool = False

    @property
    def routing_key(self) -> str:
        return "kill"

    @property
    def job_ids(self) -> tuple[int, ...]:
        return (self.job_id,)


class DeadlinePassed(Message):
    """A job stayed too long in `state`; acted on only while it is still there, in that version."""

    msg_type: Literal["deadline_passed"] = "deadline_passed"
    job_id: Id
    state: State
    version: int

    @property
    def routing_key(self) -> str:
        return "deadline"

    @property
    def job_ids(self) -> tuple[int, ...]:
        return (self.job_id,)


BlockKindName = Literal["dispatch", "sub"]


class FilesArrived(Message):
    """The DDM moved files of a block; `lfns` None means all of them."""

    msg_type: Literal["files_arrived"] = "files_arrived"
    block: BlockName
    kind: BlockKindName
    lfns: list[Lfn] | None = None

    @property
    def routing_key(self) -> str:
        return f"ddm.arrived.{self.kind}"


class FilesFailed(Message):
    """The DDM gave up on files of a block; `lfns` None means all of them."""

    msg_type: Literal["files_failed"] = "files_failed"
    block: BlockName
    kind: BlockKindName
    lfns: list[Lfn] | None = None
    reason: Text = ""

    @property
    def routing_key(self) -> str:
        return f"ddm.failed.{self.kind}"


class JobEvent(Message):
    """A committed transition: `version` grows by one per job, so receivers drop what is not newer."""

    exchange: ClassVar[str] = EVENTS
    msg_type: Literal["job_event"] = "job_event"
    job_id: Id
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
        return f"job.{self.state.value}"

    @property
    def job_ids(self) -> tuple[int, ...]:
        return (self.job_id,)


class OutputsAdded(Message):
    """The Adder registered a job's outputs and nothing is left to move."""

    exchange: ClassVar[str] = EVENTS
    msg_type: Literal["outputs_added"] = "outputs_added"
    job_id: Id
    version: int
    verdict: Literal["finished", "failed", "cancelled"]

    @property
    def routing_key(self) -> str:
        return "job.outputs_added"

    @property
    def job_ids(self) -> tuple[int, ...]:
        return (self.job_id,)


class FileToMove(BaseModel):
    """A file that the DDM shall copy. Size in bytes, checksum with its `ad:` or `md5:` prefix, "" if unknown."""

    model_config = ConfigDict(extra="forbid")
    lfn: Lfn
    scope: Scope
    size: int = 0
    checksum: str = ""


class TransferRequested(Message):
    """Files of a block must go from one storage to another; the DDM answers with FilesArrived or FilesFailed."""

    exchange: ClassVar[str] = EVENTS
    msg_type: Literal["transfer_requested"] = "transfer_requested"
    block: BlockName
    kind: BlockKindName
    source: Name
    destination: Name
    files: list[FileToMove]

    @property
    def routing_key(self) -> str:
        return "block.requested"


class CheckBlock(Message):
    """Look whether the sub-destination blocks of this job can be closed; sent by replay."""

    exchange: ClassVar[str] = EVENTS
    msg_type: Literal["check_block"] = "check_block"
    job_id: Id

    @property
    def routing_key(self) -> str:
        return "block.check"

    @property
    def job_ids(self) -> tuple[int, ...]:
        return (self.job_id,)


class BlockClosed(Message):
    """A sub-destination block holds all it ever will."""

    exchange: ClassVar[str] = EVENTS
    msg_type: Literal["block_closed"] = "block_closed"
    block: BlockName

    @property
    def routing_key(self) -> str:
        return "block.closed"


KEPT_REQUESTS = (SubmitJobs, ReleaseJobs, PilotReport, KillJob)
"""What the gateway keeps in the database until it is handled, so that an emptied broker loses no request."""

AnyMessage = Annotated[
    SubmitJobs
    | ReleaseJobs
    | PilotReport
    | KillJob
    | DeadlinePassed
    | FilesArrived
    | FilesFailed
    | JobEvent
    | OutputsAdded
    | TransferRequested
    | CheckBlock
    | BlockClosed,
    Field(discriminator="msg_type"),
]
_DECODER: TypeAdapter[AnyMessage] = TypeAdapter(AnyMessage)


def decode(body: bytes) -> AnyMessage:
    """The message in `body`. Raises PoisonError with the reason when there is none."""
    try:
        return _DECODER.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PoisonError(f"not a message of schema 1: {where or 'body'}: {first['msg']}") from None
