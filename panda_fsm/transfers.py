"""Requests to move files: made of files, and merged so that a transaction asks once a block."""

from collections.abc import Iterable, Sequence

from panda_fsm.blocks.states import BlockKind
from panda_fsm.jobs.job import File
from panda_fsm.messages.ddm import BlockKindName, FileToMove, TransferRequested
from panda_fsm.messages.envelope import new_message_id

FILES_PER_REQUEST = 1000
"""About 300 kB: no message is so large that a broker refuses it, or that a batch of them fills the memory."""


def to_move(file: File, size: int | None = None, checksum: str | None = None) -> FileToMove:
    """A file as the DDM must know it; what a pilot reported of an output goes before what was planned."""
    return FileToMove.model_construct(
        lfn=file.lfn,
        scope=file.scope,
        size=file.size if size is None else size,
        checksum=file.checksum if checksum is None else checksum,
    )


def request(
    kind: BlockKind, block: str, source: str, destination: str, files: Sequence[FileToMove]
) -> TransferRequested:
    """One request for files of a block."""
    name: BlockKindName = "dispatch" if kind is BlockKind.DISPATCH else "sub"
    return TransferRequested(block=block, kind=name, source=source, destination=destination, files=list(files))


def merged(requests: Iterable[TransferRequested]) -> list[TransferRequested]:
    """One request a block, source and destination, each file once; split where it would be too large."""
    together: dict[tuple[str, str, str], tuple[TransferRequested, dict[tuple[str, str], FileToMove]]] = {}
    for one in requests:
        _, files = together.setdefault((one.block, one.source, one.destination), (one, {}))
        files.update(((file.scope, file.lfn), file) for file in one.files)
    return [part for one, files in together.values() for part in _split(one, list(files.values()))]


def _split(one: TransferRequested, files: list[FileToMove]) -> Iterable[TransferRequested]:
    for start in range(0, len(files), FILES_PER_REQUEST):
        part = files[start : start + FILES_PER_REQUEST]
        yield TransferRequested.model_construct(
            block=one.block, kind=one.kind, source=one.source, destination=one.destination, files=part,
            message_id=new_message_id(), cause=one.cause,
        )  # fmt: skip
