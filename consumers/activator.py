"""Activator: assigned → activated, once all inputs of the job are at its site."""

from panda_fsm.events import FilesArrived, FilesFailed
from panda_fsm.handler import Item, Service
from panda_fsm.job import Job
from panda_fsm.lifecycle import Trigger
from panda_fsm.outcomes import Advance, Changes, FileChange, Ignore, Outcome, Record, Reject, fail
from panda_fsm.states import USABLE_INPUT, FileStatus, FileType, State

EC_DISPATCH = 201


class Activator(Service):
    """`Files ready` and `job activated` are one transaction: only `input` files count."""

    name = "activator"
    needs_files = True

    def decide(self, item: Item) -> Outcome:
        match item.message, item.job:
            case FilesArrived() as arrived, Job() as job:
                return self._arrived(arrived, job)
            case FilesFailed() as failed, Job():
                diagnostic = f"inputs not transferred: {failed.reason}"
                return fail(Trigger.INPUTS_FAILED, "ddm", EC_DISPATCH, diagnostic)
        return Reject(f"activator does not handle {item.message.msg_type}")

    def _arrived(self, message: FilesArrived, job: Job) -> Outcome:
        if job.state not in (State.DEFINED, State.ASSIGNED):
            return Ignore(f"inputs of a job in {job.state}")
        lfns = None if message.lfns is None else set(message.lfns)
        here = [
            file
            for file in job.files
            if file.block == message.block and (lfns is None or file.lfn in lfns) and not file.is_output
        ]
        ready = tuple(FileChange(file.seq, FileStatus.READY) for file in here)
        changes = Changes(files=ready, arrived_blocks=(message.block,))
        arriving = {file.seq for file in here}
        missing = [
            file
            for file in job.files
            if file.type is FileType.INPUT and file.status not in USABLE_INPUT and file.seq not in arriving
        ]
        return Record(changes) if missing else Advance(Trigger.INPUTS_ARRIVED, changes)
