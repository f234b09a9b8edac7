"""Finisher: holding, transferring, merging → finished or failed, when outputs were added, have arrived, were merged."""

from collections.abc import Sequence

from panda_fsm.codes import Component, TaskBufferCode, Verdict
from panda_fsm.handler import Item, Service
from panda_fsm.jobs.facts import ENDED_BADLY
from panda_fsm.jobs.job import File, Job, Upstream
from panda_fsm.jobs.kills import TO_BE_KILLED
from panda_fsm.jobs.states import SETTLED_OUTPUT, FileStatus, State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages import FilesArrived, FilesFailed, JobEvent, OutputsAdded
from panda_fsm.outcomes import Advance, Changes, Defer, FileChange, Ignore, JobError, Outcome, Record, Reject

MERGE_S = 600.0
"""The end of a job that merges wakes those it merges, unless they are being looked at just then."""
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
            case JobEvent() as event, Job() as job:
                if job.state is not State.MERGING or event.version != job.version:
                    return Ignore(f"job is {job.state} at version {job.version}, not {event.version}")
                return _merged(job)
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
        files = tuple(FileChange(seq, to) for seq, to in after.items())
        changes = Changes(files=files, errors=errors if files else ())  # what comes late fails none of them
        results = [after.get(file.seq, file.status) for file in job.outputs]
        if not all(result in SETTLED_OUTPUT or result is FileStatus.MERGING for result in results):
            return Record(changes)
        if FileStatus.FAILED in results:
            killed = job.command == TO_BE_KILLED
            return Advance(Trigger.KILL_OBEYED if killed else Trigger.OUTPUTS_FAILED, changes)
        return Advance(Trigger.OUTPUTS_MERGING if FileStatus.MERGING in results else Trigger.OUTPUTS_DONE, changes)


def _merged(job: Job) -> Outcome:
    """What has become of the outputs that others merge; the job ends when all are settled."""
    unmerged = [file for file in job.outputs if file.status is FileStatus.MERGING]
    after = {file.seq: _merged_by([one for one in job.upstream if one.merges(file)]) for file in unmerged}
    files = tuple(FileChange(seq, to) for seq, to in after.items() if to is not None)
    lost = [file for file in unmerged if after[file.seq] is FileStatus.FAILED]
    changes, reason = Changes(files=files), None
    if lost:
        last = next(one for one in job.upstream if one.is_last and one.merges(lost[0]))
        reason = f"outputs not merged: job {last.job_id} is {last.state}"
        error = JobError(Component.TASK_BUFFER, TaskBufferCode.MERGE_FAILED, reason)
        changes = Changes(files=files, errors=(error,), pilot={"job_sub_status": f"merge_{last.state}"})
    if len(files) < len(unmerged):
        return Defer(_waits_for(job, [file for file in unmerged if after[file.seq] is None]), MERGE_S, changes)
    has_failed = lost or any(file.status is FileStatus.FAILED for file in job.outputs)
    return Advance(Trigger.OUTPUTS_FAILED if has_failed else Trigger.OUTPUTS_DONE, changes, reason)


def _merged_by(mergers: Sequence[Upstream]) -> FileStatus | None:
    """One that did it is enough, and only the last one's end is the end; None: it is waited for."""
    if any(one.state is State.FINISHED for one in mergers):
        return FileStatus.READY
    is_lost = all(one.state in ENDED_BADLY for one in mergers) and any(one.is_last for one in mergers)
    return FileStatus.FAILED if is_lost else None


def _waits_for(job: Job, files: Sequence[File]) -> str:
    """Who merges these, if somebody does."""
    trying = (one for one in job.upstream if one.state not in ENDED_BADLY and any(one.merges(file) for file in files))
    one = next(trying, None)
    return f"waits for job {one.job_id}, which merges its outputs" if one else "waits for a job that merges its outputs"
