"""The output side of an experiment: where outputs are when their pilot is done, and how they get home."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from uuid import NAMESPACE_OID, uuid5

from panda_fsm.blocks.states import BlockKind
from panda_fsm.jobs.job import File, Job
from panda_fsm.jobs.report import OutputFile
from panda_fsm.jobs.states import FileStatus
from panda_fsm.outcomes import FileChange, NewBlock
from panda_fsm.plans import Go, Later, Plan, Refuse, Replicas, Transfer
from panda_fsm.ports import Catalogue
from panda_fsm.sites import Queue, Sites
from plugins.experiments.bunches import ClosedBlocks

SubNames = Callable[[Job, File, str], Iterator[str]]
"""Names for the sub block of an output that its pilot stored at another place, to be tried one after the other."""
_Found = Mapping[tuple[str, str], Replicas]


class Outputs:
    """Sends home what has a home elsewhere; `sub_names` are the experiment's own."""

    def __init__(self, sites: Sites, catalogue: Catalogue, closed: ClosedBlocks, sub_names: SubNames) -> None:
        self._sites = sites
        self._catalogue = catalogue
        self._closed = closed
        self._sub_names = sub_names

    def add(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> dict[int, Plan]:
        """A plan for the stored outputs of each job."""
        checked: set[tuple[str, str]] = set()
        for job, stored in jobs:
            self._closed.learn(job.closed_blocks)
            checked |= {replica_of(f) for f in job.outputs if self._stays_verified(f, job, stored.get(f.lfn))}
        found = self._catalogue.replicas(sorted(checked)) if checked else {}
        return {job.job_id: self._add(job, stored, found) for job, stored in jobs}

    def _stays_verified(self, file: File, job: Job, what: OutputFile | None) -> bool:
        """Whether an output was stored, stays, and can be looked at."""
        queue = self._sites.queues.get(job.site)
        if what is None or queue is None:
            return False
        place = self._place(what, queue)
        storage = self._sites.storages.get(place)
        return storage is not None and storage.verify and not _moves(file, job, place)

    def _place(self, what: OutputFile, queue: Queue) -> str:
        """The storage that has an output: the queue's, or another that its pilot chose and that we know."""
        return what.endpoint if what.endpoint in self._sites.storages else queue.storage

    def _add(self, job: Job, stored: Mapping[str, OutputFile], found: _Found) -> Plan:
        queue = self._sites.queues.get(job.site)
        if queue is None:
            return Refuse(f"unknown queue {job.site}")
        files: list[FileChange] = []
        moving: dict[NewBlock, list[int]] = defaultdict(list)
        for file in job.outputs:
            what = stored.get(file.lfn)
            if what is None:
                continue
            place = self._place(what, queue)
            moves = _moves(file, job, place)
            if moves and home(file, job) not in self._sites.storages:
                return Refuse(f"unknown destination {home(file, job)}")
            absent = _absent(file, place, found)
            if absent is not None:
                return absent
            status = FileStatus.TRANSFERRING if moves else FileStatus.READY
            guid = what.guid or str(uuid5(NAMESPACE_OID, f"{file.scope}:{file.lfn}")).upper()
            block = self._way_home(file, job, queue, place) if moves else None
            if block is not None:
                moving[block].append(file.seq)
            elsewhere = place if not moves and place != _planned(file, job, queue) else None
            joined = block.name if block is not None and block.name != file.block else None
            files.append(FileChange(file.seq, status, joined, guid, what.size, what.checksum, elsewhere))
        return Go(tuple(files), transfers=tuple(Transfer(block, tuple(seqs)) for block, seqs in moving.items()))

    def _way_home(self, file: File, job: Job, queue: Queue, place: str) -> NewBlock:
        """The block in which an output moves: the one it was meant for, or one of its own that says where it starts."""
        if place == queue.storage:
            return sub_block(str(file.block), file, job, place)
        return sub_block(self._closed.first_open(self._sub_names(job, file, place)), file, job, place)


def replica_of(file: File) -> tuple[str, str]:
    """The name by which a catalogue knows a file."""
    return file.scope, file.lfn


def home(file: File, job: Job) -> str:
    """The storage where an output belongs; "" if it may stay where it is made."""
    return file.destination or job.destination


def sub_block(name: str, file: File, job: Job, source: str) -> NewBlock:
    """The block in which an output goes home from a storage."""
    return NewBlock(name, BlockKind.SUB, file.destination_block, job.vo, job.task_id, source, home(file, job))


def _planned(file: File, job: Job, queue: Queue) -> str:
    return home(file, job) or queue.storage


def _moves(file: File, job: Job, place: str) -> bool:
    """Whether an output that is at `place` has a home elsewhere, and a block to go there in.

    One that has no home stays where it is.
    """
    return home(file, job) not in ("", place) and file.block is not None


def _absent(file: File, storage: str, found: _Found) -> Later | Refuse | None:
    """What follows if an output that was looked for is not where its pilot stored it."""
    replicas = found.get(replica_of(file))
    if replicas is None or storage in replicas.storages:
        return None
    if storage in replicas.unreachable:
        return Later(f"nobody can say whether {file.lfn} was stored: {storage} cannot be reached")
    return Refuse(f"{file.lfn} is not on {storage}, where its pilot stored it")
