"""Activator: assigned → activated, once all inputs of the job are at its site."""

from collections.abc import Sequence

from panda_fsm.codes import Component, DdmCode
from panda_fsm.handler import Item, Service
from panda_fsm.jobs.job import File, Job
from panda_fsm.jobs.states import USABLE_INPUT, FileStatus, FileType, State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages import FilesArrived, FilesFailed
from panda_fsm.outcomes import Advance, Changes, FileChange, Ignore, JobError, Outcome, Record, Reject


class Activator(Service[None]):
    """`Files ready` and `job activated` are one transaction: only `input` files count."""

    name = "activator"
    needs_files = True

    def decide(self, item: Item[None]) -> Outcome:
        match item.message, item.job:
            case (FilesArrived() | FilesFailed()) as message, Job() as job:
                found = _of_message(message, job)
                if job.state is not State.ASSIGNED or not found:
                    return Ignore(f"inputs of a job in {job.state}, or none of its inputs any more")
                return _arrived(message, job, found) if isinstance(message, FilesArrived) else _failed(message, found)
        return Reject(f"activator does not handle {item.message.msg_type}")


def _arrived(message: FilesArrived, job: Job, here: Sequence[File]) -> Outcome:
    ready = tuple(FileChange(file.seq, FileStatus.READY) for file in here)
    changes = Changes(files=ready, arrived_blocks=(message.block,))
    arriving = {file.seq for file in here}
    missing = [
        file
        for file in job.files
        if file.type is FileType.INPUT and file.status not in USABLE_INPUT and file.seq not in arriving
    ]
    return Record(changes) if missing else Advance(Trigger.INPUTS_ARRIVED, changes)


def _failed(message: FilesFailed, lost: Sequence[File]) -> Outcome:
    error = JobError(Component.DDM, DdmCode.DISPATCH, f"inputs not transferred: {message.reason}")
    files = tuple(FileChange(file.seq, FileStatus.FAILED) for file in lost)
    changes = Changes(files=files, arrived_blocks=(message.block,), errors=(error,))
    return Advance(Trigger.INPUTS_FAILED, changes, error.diagnostic)


def _of_message(message: FilesArrived | FilesFailed, job: Job) -> list[File]:
    """The job's inputs that the message is about."""
    lfns = None if message.lfns is None else set(message.lfns)
    return [
        file
        for file in job.files
        if file.block == message.block and (lfns is None or file.lfn in lfns) and not file.is_output
    ]
