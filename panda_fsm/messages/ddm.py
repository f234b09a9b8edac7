"""What is asked of the DDM and what it answers."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from panda_fsm.jobs.drafts import BlockName, Lfn, Name, Scope, Text
from panda_fsm.messages.envelope import EVENTS, Message

BlockKindName = Literal["dispatch", "sub"]


class FileToMove(BaseModel):
    """A file that the DDM shall copy. Size in bytes, checksum with its `ad:` or `md5:` prefix, "" if unknown."""

    model_config = ConfigDict(extra="ignore")
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
