"""Finisher: holding, transferring → finished or failed, when outputs were added or arrived at their destination."""

from panda_fsm.codes import Component, TaskBufferCode, Verdict
from panda_fsm.handler import Item, Service
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import SETTLED_OUTPUT, FileStatus, State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages import FilesArrived, FilesFailed, OutputsAdded
from panda_fsm.outcomes import Advance, Changes, FileChange, Ignore, JobError, Outcome, Record, Reject

_BY_VERDICT = {
    Verdict.FINISHED: Trigger.OUTPUTS_DONE,
    Verdict.FAILED: Trigger.OUTPUTS_FAILED,
    Verdict.CANCELLED: Trigger.KILL_OBEYED,
}


class Finisher(Service[None]):
    """The last hop of a job that a pilot ran."""

    name = "finisher"
    needs_files = True

    def decide(self, item: Item[None]) -> Outcome:
        match item.message, item.job:
            case OutputsAdded() as added, Job() as job:
                if added.version != job.version:
                    return Ignore(f"job is at version {job.version}, not {added.version}")
                return Advance(_BY_VERDICT[added.verdict])
            case FilesArrived() as arrived, Job() as job:
                return self._moved(arrived, job, FileStatus.READY, ())
            case FilesFailed() as failed, Job() as job:
                error = JobError(
                    Component.TASK_BUFFER, TaskBufferCode.TRANSFER, f"outputs not transferred: {failed.reason}"
                )
                return self._moved(failed, job, FileStatus.FAILED, (error,))
        return Reject(f"finisher does not handle {item.message.msg_type}")

    def _moved(
        self, message: FilesArrived | FilesFailed, job: Job, status: FileStatus, errors: tuple[JobError, ...]
    ) -> Outcome:
        """Settle the moved files; the job ends with its last one."""
        if job.state is not State.TRANSFERRING:
            return Ignore(f"outputs of a job in {job.state}")
        lfns = None if message.lfns is None else set(message.lfns)
        after = {
            file.seq: status
            for file in job.outputs
            if file.block == message.block
            and file.status is FileStatus.TRANSFERRING
            and (lfns is None or file.lfn in lfns)
        }
        changes = Changes(files=tuple(FileChange(seq, to) for seq, to in after.items()), errors=errors)
        results = [after.get(file.seq, file.status) for file in job.outputs]
        if not all(result in SETTLED_OUTPUT for result in results):
            return Record(changes)
        failed = FileStatus.FAILED in results
        return Advance(Trigger.OUTPUTS_FAILED if failed else Trigger.OUTPUTS_DONE, changes)
