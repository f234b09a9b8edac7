"""The output side of an experiment: where outputs are when their pilot is done, and how they get home."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import NAMESPACE_OID, uuid5

from panda_fsm.blocks.states import BlockKind
from panda_fsm.jobs.job import LOCAL, File, Job
from panda_fsm.jobs.report import OutputFile
from panda_fsm.jobs.states import USER_LABELS, FileStatus
from panda_fsm.outcomes import FileChange, NewBlock
from panda_fsm.plans import Go, Later, Plan, Refuse, StoredFile, Transfer
from panda_fsm.ports import Catalogue
from panda_fsm.sites import Queue, SitesNow
from plugins.experiments.bunches import ClosedBlocks

SubNames = Callable[[Job, File, str], Iterator[str]]
"""Names for the sub block of an output that its pilot stored at another place, to be tried one after the other."""
Jobs = Sequence[tuple[Job, dict[str, OutputFile]]]
_Troubles = Mapping[StoredFile, Later | Refuse]


@dataclass(frozen=True, slots=True)
class _Output:
    """An output that its pilot stored, how the catalogue must know it, and the block in which it goes home, if any."""

    file: File
    stored: StoredFile
    elsewhere: bool
    way_home: NewBlock | None

    @property
    def is_known(self) -> bool:
        """Whether the catalogue confirmed it when the job was looked at before."""
        file, stored = self.file, self.stored
        return (file.guid, file.size, file.checksum) == (stored.guid, stored.size, stored.checksum)

    @property
    def is_new_way(self) -> bool:
        """Whether it goes home in another block than it was meant for."""
        return self.way_home is not None and self.way_home.name != self.file.block

    def change(self, status: FileStatus) -> FileChange:
        """What becomes of the file."""
        block = self.way_home.name if self.way_home is not None and self.is_new_way else None
        stored, place = self.stored, self.stored.storage if self.elsewhere else None
        return FileChange(self.file.seq, status, block, stored.guid, stored.size, stored.checksum, place)

    def confirmed(self) -> FileChange:
        """That the catalogue knows it, while others are waited for."""
        stored = self.stored
        return FileChange(self.file.seq, self.file.status, None, stored.guid, stored.size, stored.checksum)


class Outputs:
    """Registers outputs where they are, and sends home what has a home elsewhere; `sub_names` are the experiment's."""

    def __init__(self, sites: SitesNow, catalogue: Catalogue, closed: ClosedBlocks, sub_names: SubNames) -> None:
        self._sites = sites
        self._catalogue = catalogue
        self._closed = closed
        self._sub_names = sub_names

    def add(self, jobs: Jobs) -> dict[int, Plan]:
        """A plan for the stored outputs of each job, which waits for those that move."""
        return self._plans(jobs, FileStatus.TRANSFERRING)

    def keep_logs(self, jobs: Jobs) -> dict[int, Plan]:
        """A plan for the log of each job that fails: it is ready where it is. That of production moves home, too."""
        return self._plans(jobs, FileStatus.READY)

    def _plans(self, jobs: Jobs, moving: FileStatus) -> dict[int, Plan]:
        plans: dict[int, Plan] = {}
        found: dict[int, list[_Output]] = {}
        for job, stored in jobs:
            self._closed.learn(job.closed_blocks)
            outputs = self._located(job, stored, moving)
            if isinstance(outputs, Refuse):
                plans[job.job_id] = outputs
            else:
                found[job.job_id] = outputs
        chosen = {one.way_home for outputs in found.values() for one in outputs if one.is_new_way}
        if chosen:
            self._catalogue.register_blocks({block: () for block in chosen if block is not None})
        new = [one.stored for outputs in found.values() for one in outputs if not one.is_known]
        troubles = self._catalogue.register(new) if new else {}
        return plans | {job_id: _plan(outputs, troubles, moving) for job_id, outputs in found.items()}

    def _located(self, job: Job, stored: Mapping[str, OutputFile], moving: FileStatus) -> list[_Output] | Refuse:
        """Where the stored outputs are, and where they go."""
        queue = self._sites.queues.get(job.site)
        if queue is None:
            return Refuse(f"unknown queue {job.site}")
        outputs = []
        for file in job.outputs:
            what = stored.get(file.lfn)
            if what is None:
                continue
            place = self._place(what, queue)
            moves = _moves(file, job, place)
            if moving is FileStatus.READY:
                moves = moves and job.label not in USER_LABELS and home(file, job) in self._sites.storages
            elif moves and home(file, job) not in self._sites.storages:
                return Refuse(f"unknown destination {home(file, job)}")
            way_home = self._way_home(file, job, queue, place) if moves else None
            is_there = way_home is None or moving is FileStatus.READY
            elsewhere = is_there and place != (home(file, job) or queue.storage)
            blocks = (*filter(None, (file.destination_block,)), *((way_home.name,) if way_home else ()))
            outputs.append(_Output(file, _stored(file, what, place, blocks), elsewhere, way_home))
        return outputs

    def _place(self, what: OutputFile, queue: Queue) -> str:
        """The storage that has an output: the queue's, or another that its pilot chose and that we know."""
        return what.endpoint if what.endpoint in self._sites.storages else queue.storage

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
    where = file.destination or job.destination
    return "" if where == LOCAL else where  # nothing is called so that it could move to


def sub_block(name: str, file: File, job: Job, source: str) -> NewBlock:
    """The block in which an output goes home from a storage."""
    return NewBlock(name, BlockKind.SUB, file.destination_block, job.vo, job.task_id, source, home(file, job))


def _moves(file: File, job: Job, place: str) -> bool:
    """Whether an output that is at `place` has a home elsewhere, and a block to go there in.

    One that has no home stays where it is, and so does one that is in its destination block already, or to be merged.
    """
    is_bunched = file.block not in (None, file.destination_block)
    return home(file, job) not in ("", place) and is_bunched and not file.is_unmerged


def _stored(file: File, what: OutputFile, place: str, blocks: tuple[str, ...]) -> StoredFile:
    guid = what.guid or str(uuid5(NAMESPACE_OID, f"{file.scope}:{file.lfn}")).upper()
    return StoredFile(file.scope, file.lfn, place, guid, what.size or 0, what.checksum, blocks)


def _status(output: _Output, moving: FileStatus) -> FileStatus:
    if output.way_home is not None:
        return moving
    is_awaited = output.file.is_unmerged and moving is FileStatus.TRANSFERRING
    return FileStatus.MERGING if is_awaited else FileStatus.READY


def _plan(outputs: Sequence[_Output], troubles: _Troubles, moving: FileStatus) -> Plan:
    """The job goes on with all of its outputs or with none; what was confirmed is not asked for again."""
    found = [troubles[one.stored] for one in outputs if one.stored in troubles] if troubles else []
    refused = [trouble for trouble in found if isinstance(trouble, Refuse)]
    if refused:
        return refused[0]
    for trouble in found:
        if isinstance(trouble, Later):
            return replace(trouble, files=tuple(one.confirmed() for one in outputs if one.stored not in troubles))
    ways: dict[NewBlock, list[int]] = defaultdict(list)
    for one in outputs:
        if one.way_home is not None:
            ways[one.way_home].append(one.file.seq)
    files = tuple(one.change(_status(one, moving)) for one in outputs)
    return Go(files, transfers=tuple(Transfer(block, tuple(seqs)) for block, seqs in ways.items()))
