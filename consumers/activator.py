"""Activator: assigned → activated, once all inputs of the job are at its site."""

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
            case FilesArrived() as arrived, Job() as job:
                return self._arrived(arrived, job)
            case FilesFailed() as failed, Job() as job:
                error = JobError(Component.DDM, DdmCode.DISPATCH, f"inputs not transferred: {failed.reason}")
                files = tuple(FileChange(file.seq, FileStatus.FAILED) for file in _of_message(failed, job))
                changes = Changes(files=files, arrived_blocks=(failed.block,), errors=(error,))
                return Advance(Trigger.INPUTS_FAILED, changes, error.diagnostic)
        return Reject(f"activator does not handle {item.message.msg_type}")

    def _arrived(self, message: FilesArrived, job: Job) -> Outcome:
        if job.state not in (State.DEFINED, State.ASSIGNED):
            return Ignore(f"inputs of a job in {job.state}")
        here = _of_message(message, job)
        ready = tuple(FileChange(file.seq, FileStatus.READY) for file in here)
        changes = Changes(files=ready, arrived_blocks=(message.block,))
        arriving = {file.seq for file in here}
        missing = [
            file
            for file in job.files
            if file.type is FileType.INPUT and file.status not in USABLE_INPUT and file.seq not in arriving
        ]
        return Record(changes) if missing else Advance(Trigger.INPUTS_ARRIVED, changes)


def _of_message(message: FilesArrived | FilesFailed, job: Job) -> list[File]:
    """The job's inputs that the message is about."""
    lfns = None if message.lfns is None else set(message.lfns)
    return [
        file
        for file in job.files
        if file.block == message.block and (lfns is None or file.lfn in lfns) and not file.is_output
    ]
