"""The default experiment: inputs and outputs on local storages, blocks named and bunched as PanDA does."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import NAMESPACE_OID, uuid5

from panda_fsm.jobs.job import File, Job
from panda_fsm.outcomes import FileChange, NewBlock
from panda_fsm.ports import AddPlan, SetupPlan, Transfer
from panda_fsm.jobs.report import OutputFile
from panda_fsm.sites import Queue, Sites
from panda_fsm.jobs.states import USABLE_INPUT, BlockKind, FileStatus, FileType
from plugins.ddm.storage import replica_path

FILES_PER_DISPATCH_BLOCK = 20
"""Checked before a job's files are added, so that one job is never split over two blocks."""
JOBS_PER_DISPATCH_BLOCK = 21


class GenericPlugin:
    """Finds inputs by looking at the storages, brings them to the queue's storage, and sends outputs home."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites

    def setup(self, jobs: Sequence[Job]) -> dict[int, SetupPlan]:
        plans = {job.job_id: SetupPlan() for job in jobs}
        bunches: dict[tuple[str, str, int, str], list[tuple[Job, list[File]]]] = defaultdict(list)
        for job in sorted(jobs, key=lambda job: job.job_id):
            queue = self._sites.queues.get(job.site)
            if queue is None:
                plans[job.job_id].refusal = f"unknown queue {job.site}"
                continue
            for source, files in self._missing_inputs(job, queue, plans[job.job_id]).items():
                bunches[(source, queue.storage, job.task_id, job.vo)].append((job, files))
        for (source, destination, _, _), members in bunches.items():
            _dispatch(source, destination, members, plans)
        storages = {name: queue.storage for name, queue in self._sites.queues.items()}
        _assign_sub_blocks([job for job in jobs if plans[job.job_id].refusal is None], plans, storages)
        return plans

    def _missing_inputs(self, job: Job, queue: Queue, plan: SetupPlan) -> dict[str, list[File]]:
        """Inputs by the storage they must come from; those at the site already are noted as ready."""
        missing: dict[str, list[File]] = defaultdict(list)
        for file in job.files:
            if file.type is not FileType.INPUT or file.status in USABLE_INPUT:
                continue
            try:
                holders = self._holders(file)
            except OSError as error:
                plan.try_later = f"cannot look for {file.lfn}: {error.strerror or error}"
                return {}
            if queue.storage in holders:
                plan.files.append(FileChange(file.seq, FileStatus.READY))
            elif holders:
                missing[holders[0]].append(file)
            else:
                plan.refusal = f"input {file.scope}:{file.lfn} is on no storage"
                return {}
        return missing

    def _holders(self, file: File) -> list[str]:
        return [
            name
            for name, storage in sorted(self._sites.storages.items())
            if storage.path is not None and replica_path(storage.path, file.scope, file.lfn).is_file()
        ]

    def add_outputs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> dict[int, AddPlan]:
        return {job.job_id: self._add(job, stored) for job, stored in jobs}

    def _add(self, job: Job, stored: dict[str, OutputFile]) -> AddPlan:
        plan = AddPlan()
        queue = self._sites.queues.get(job.site)
        if queue is None:
            plan.refusal = f"unknown queue {job.site}"
            return plan
        moving: dict[tuple[str, str], list[int]] = defaultdict(list)
        for file in job.outputs:
            what = stored.get(file.lfn)
            if what is None:
                continue
            home = file.destination or job.destination
            moves = bool(home) and home != queue.storage and file.block is not None
            if moves and home not in self._sites.storages:
                plan.refusal = f"unknown destination {home}"
                return plan
            status = FileStatus.TRANSFERRING if moves else FileStatus.READY
            guid = what.guid or str(uuid5(NAMESPACE_OID, f"{file.scope}:{file.lfn}")).upper()
            plan.files.append(FileChange(file.seq, status, None, guid, what.size, what.checksum))
            if moves and file.block is not None:
                moving[(file.block, home)].append(file.seq)
        plan.transfers = [Transfer(block, queue.storage, home, seqs) for (block, home), seqs in moving.items()]
        return plan


def _dispatch(
    source: str, destination: str, members: Iterable[tuple[Job, list[File]]], plans: dict[int, SetupPlan]
) -> None:
    """Bunch jobs into dispatch blocks: a new one at 20 distinct files or 21 jobs."""
    block, lfns, count = "", set[str](), 0
    for job, files in members:
        if plans[job.job_id].refusal is not None:
            continue
        if not block or len(lfns) >= FILES_PER_DISPATCH_BLOCK or count >= JOBS_PER_DISPATCH_BLOCK:
            block, lfns, count = dispatch_name(job, source), set(), 0
        plan = plans[job.job_id]
        plan.blocks.append(NewBlock(block, BlockKind.DISPATCH, "", job.vo, job.task_id, source, destination))
        plan.files += [FileChange(file.seq, FileStatus.PENDING, block) for file in files]
        plan.transfers.append(Transfer(block, source, destination, [file.seq for file in files]))
        lfns.update(file.lfn for file in files)
        count += 1


def dispatch_name(job: Job, source: str) -> str:
    """`panda.<taskID>.<MM.DD>.GEN.transfer.<uuid>_dis<PandaID of the first job>`; the same job gives the same uuid."""
    day = datetime.now(UTC).strftime("%m.%d")
    unique = uuid5(NAMESPACE_OID, f"dispatch {job.job_id} {job.version} {source}")
    return f"panda.{job.task_id}.{day}.GEN.transfer.{unique}_dis{job.job_id}"


def sub_name(destination_block: str, task_id: int, job_id: int) -> str:
    """`<f0>.<f1>.NA.<f3>.<f4>.<taskID>_sub<n>`, three fields for user datasets; n is the bunch's first PandaID."""
    fields = destination_block.rstrip("/").split(".")
    if not task_id:
        return f"{destination_block.rstrip('/')}_sub{job_id}"
    if fields[0].startswith(("user", "panda", "group")) or len(fields) < 5:
        return f"{'.'.join(fields[:3])}.{task_id}_sub{job_id}"
    return f"{fields[0]}.{fields[1]}.NA.{fields[3]}.{fields[4]}.{task_id}_sub{job_id}"


def _assign_sub_blocks(jobs: Sequence[Job], plans: dict[int, SetupPlan], storages: Mapping[str, str]) -> None:
    """One sub block per destination block, destination and site of a bunch of jobs; `storages` by queue."""
    names: dict[tuple[str, str, str, int], NewBlock] = {}
    for job in sorted(jobs, key=lambda job: job.job_id):
        plan = plans[job.job_id]
        for file in job.outputs:
            if not file.destination_block:
                continue
            home = file.destination or job.destination
            key = (file.destination_block, home, job.site, job.task_id)
            block = names.get(key)
            if block is None:
                name = sub_name(file.destination_block, job.task_id, job.job_id)
                taken = {known.name for known in names.values()}
                block = names[key] = NewBlock(
                    name if name not in taken else f"{file.destination_block.rstrip('/')}_sub{job.job_id}",
                    BlockKind.SUB, file.destination_block, job.vo, job.task_id, storages[job.site], home,
                )  # fmt: skip
                plan.blocks.append(NewBlock(file.destination_block, BlockKind.DESTINATION, "", job.vo, job.task_id))
            plan.blocks.append(block)
            plan.files.append(FileChange(file.seq, file.status, block.name))
