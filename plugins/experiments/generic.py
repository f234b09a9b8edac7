"""The default experiment: inputs where the catalogue says, outputs sent home, blocks named and bunched as PanDA does.

Another experiment inherits from it and overrides what it does differently: `dispatch_bunches` and `dispatch_name` for
inputs on their way, `pins` and `pin_name` for those that are there, `sub_bunch` and `sub_name` for outputs, `names` for
the LFNs that its catalogue takes.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import ClassVar
from uuid import NAMESPACE_OID, uuid5

from panda_fsm.blocks.states import BlockKind
from panda_fsm.jobs.job import File, Job
from panda_fsm.jobs.names import LETTERS_AND_DIGITS, NameRule
from panda_fsm.jobs.report import OutputFile
from panda_fsm.jobs.states import PRODUCTION_LABELS, USABLE_INPUT, FileStatus, FileType
from panda_fsm.outcomes import FileChange, NewBlock
from panda_fsm.plans import Go, Later, Plan, Refuse, Replicas, Transfer, Unknown
from panda_fsm.ports import Catalogue
from panda_fsm.sites import Queue, SitesNow
from plugins.experiments.bunches import (
    GENERATIONS,
    ClosedBlocks,
    Member,
    SubBunch,
    Way,
    is_prestaged,
    neighbours,
    shares_sub_blocks,
    way_of,
)
from plugins.experiments.outputs import Outputs, home, replica_of, sub_block
from plugins.experiments.pins import pins_of

FILES_PER_DISPATCH_BLOCK = 20
"""Checked before a job's files are added, so that one job is never split over two blocks."""
JOBS_PER_DISPATCH_BLOCK = 21
LOOK_UP_S, FILES_AT_ONCE = 10.0, 5000
"""So long the inputs of a batch are looked for, so many at a time: more than one job has, so all have their turn."""
_Found = Mapping[tuple[str, str], Replicas]


@dataclass(slots=True)
class _Draft:
    """The plan of a job that goes on, in the making. `here`: inputs that are at the site, `missing`: the others, by the
    storage they must come from; `subs`: the sub blocks of its outputs; `pins`: blocks of inputs that are at the site.
    """

    job: Job
    queue: Queue
    here: list[File] = field(default_factory=list)
    missing: dict[str, list[File]] = field(default_factory=lambda: defaultdict(list))
    subs: list[str] = field(default_factory=list)
    files: list[FileChange] = field(default_factory=list)
    blocks: list[NewBlock] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    pins: dict[NewBlock, list[File]] = field(default_factory=lambda: defaultdict(list))

    def plan(self) -> Go:
        return Go(tuple(self.files), (*self.blocks, *self.pins), tuple(self.transfers))


class GenericPlugin:
    """Brings inputs to the queue's storage, and outputs home. Sub blocks depend on the job alone, however jobs came."""

    names: ClassVar[NameRule] = NameRule(
        f"{LETTERS_AND_DIGITS}._-", 250, "letters, digits, '.', '_' and '-', and not begin with one of these three",
        begins=LETTERS_AND_DIGITS,
    )  # fmt: skip

    def __init__(self, sites: SitesNow, catalogue: Catalogue) -> None:
        self._sites = sites
        self._catalogue = catalogue
        self._closed = ClosedBlocks()
        self._outputs = Outputs(sites, catalogue, self._closed, self._sub_names)

    def dispatch_bunches(self, members: Sequence[Member]) -> Iterator[list[Member]]:
        """Which jobs share a dispatch block, of those whose inputs have the same way, by PandaID."""
        bunch, lfns = list[Member](), set[str]()
        for job, files in members:
            if len(lfns) >= FILES_PER_DISPATCH_BLOCK or len(bunch) >= JOBS_PER_DISPATCH_BLOCK:
                yield bunch
                bunch, lfns = [], set()
            bunch.append((job, files))
            lfns.update(file.lfn for file in files)
        if bunch:
            yield bunch

    def dispatch_name(self, first: Job, way: Way, generation: int) -> str:
        """`panda.<taskID>.<MM.DD>.<kind of data>.<transfer or prestaging>.<uuid>_dis<PandaID of the first job>`.

        The same job and way, the same name.
        """
        of_way = f"{way.source} {way.destination}"
        unique = uuid5(NAMESPACE_OID, f"dispatch {first.job_id} {first.version} {of_way} {generation}")
        how = "prestaging" if is_prestaged(first) else "transfer"
        return f"panda.{first.task_id}.{_day(first)}.{way.data_type}.{how}.{unique}_dis{first.job_id}"

    def pins(self, job: Job) -> bool:
        """Whether its inputs that are at the site already are kept there while it lives: those of production are."""
        return job.label in PRODUCTION_LABELS

    def pin_name(self, first: Job, number: int, generation: int) -> str:
        """`panda.<taskID>.<MM.DD>.GEN.<uuid>_dis0<number><PandaID of the first job>`."""
        unique = uuid5(NAMESPACE_OID, f"pin {first.job_id} {first.version} {number} {generation}")
        return f"panda.{first.task_id}.{_day(first)}.GEN.{unique}_dis0{number}{first.job_id}"

    def sub_bunch(self, job: Job, file: File, generation: int) -> SubBunch:
        """Which outputs share a sub block; the next generation is chosen once the block of the one before is closed."""
        jobs, life = neighbours(job, generation)
        where = home(file, job)
        return SubBunch(file.destination_block, where, file.place_token, job.site, job.vo, job.task_id, jobs, life)

    def sub_name(self, bunch: SubBunch) -> str:
        """`<f0>.<f1>.NA.<f3>.<f4>.<taskID>_sub<n>`, three fields for user datasets; `n` is the bunch's alone."""
        name = bunch.destination_block.rstrip("/")
        fields = name.split(".")
        if bunch.task_id and (fields[0].startswith(("user", "panda", "group")) or len(fields) < 5):
            name = f"{'.'.join(fields[:3])}.{bunch.task_id}"
        elif bunch.task_id:
            name = f"{fields[0]}.{fields[1]}.NA.{fields[3]}.{fields[4]}.{bunch.task_id}"
        return f"{name}_sub{bunch.number}"

    def setup(self, jobs: Sequence[Job]) -> dict[int, Plan]:
        jobs = sorted(jobs, key=lambda job: job.job_id)
        found = self._look_for_inputs(jobs)
        plans: dict[int, Plan] = {}
        drafts: list[_Draft] = []
        for job in jobs:
            self._closed.learn(job.closed_blocks)
            draft = self._locate(job, found)
            if isinstance(draft, _Draft):
                drafts.append(draft)
            else:
                plans[job.job_id] = draft
        self._assign_blocks(drafts)
        self._dispatch(drafts)
        self._pin(drafts)
        self._register(drafts)
        return plans | {draft.job.job_id: draft.plan() for draft in drafts}

    def _look_for_inputs(self, jobs: Sequence[Job]) -> _Found:
        """Where inputs are; those of the last jobs are left out when it takes long."""
        found: dict[tuple[str, str], Replicas] = {}
        until = time.monotonic() + LOOK_UP_S
        wanted = list(dict.fromkeys(replica_of(file) for job in jobs for file in _looked_for(job)))
        for at in range(0, len(wanted), FILES_AT_ONCE):
            found |= self._catalogue.replicas(wanted[at : at + FILES_AT_ONCE])
            if time.monotonic() > until:
                break
        return found

    def _locate(self, job: Job, found: _Found) -> _Draft | Later | Unknown | Refuse:
        """Where each input is: at the site, on its way from elsewhere, nowhere, or nobody can say now."""
        queue = self._sites.queues.get(job.site)
        if queue is None:
            return Refuse(f"unknown queue {job.site}")
        homes = {home(file, job) for file in job.outputs if file.destination_block} - {"", queue.storage}
        if not homes <= self._sites.storages.keys():
            # Better before it runs than afterwards.
            return Refuse(f"unknown destination {min(homes - self._sites.storages.keys())}")
        draft = _Draft(job, queue)
        for file in _looked_for(job):
            replicas = found.get(replica_of(file))
            if replicas is None:
                return Later("its inputs are looked for when it is its turn")
            if queue.storage in replicas.storages:
                draft.here.append(file)
            elif replicas.storages and queue.storage not in replicas.unreachable:
                draft.missing[replicas.storages[0]].append(file)
            elif replicas.unreachable:
                away = ", ".join(replicas.unreachable)
                return Later(f"nobody can say where input {file.scope}:{file.lfn} is: {away} cannot be reached")
            elif file.is_library:
                return Later(f"library {file.scope}:{file.lfn} is on no storage yet")
            else:
                return Unknown(f"input {file.scope}:{file.lfn} is on no storage")
        return draft

    def _dispatch(self, drafts: Sequence[_Draft]) -> None:
        """Put what must be brought into dispatch blocks."""
        ways: dict[Way, list[Member]] = defaultdict(list)
        for draft in drafts:
            for source, files in draft.missing.items():
                way = way_of(draft.job, source, draft.queue.storage, files[0].dataset, draft.subs)
                ways[way].append((draft.job, files))
        by_job = {draft.job.job_id: draft for draft in drafts}
        for way, members in ways.items():
            for bunch in self.dispatch_bunches(members):
                names = (self.dispatch_name(bunch[0][0], way, generation) for generation in range(GENERATIONS))
                name = self._closed.first_open(names)
                block = NewBlock(name, BlockKind.DISPATCH, "", way.vo, way.task_id, way.source, way.destination)
                for job, files in bunch:
                    draft = by_job[job.job_id]
                    draft.files += [FileChange(file.seq, FileStatus.PENDING, name) for file in files]
                    draft.transfers.append(Transfer(block, tuple(file.seq for file in files)))

    def _pin(self, drafts: Sequence[_Draft]) -> None:
        """What is at the site is ready, and where that is wanted in a block."""
        pinned: dict[tuple[str, int, str], list[Member]] = defaultdict(list)
        by_job = {draft.job.job_id: draft for draft in drafts}
        for draft in drafts:
            if draft.here and self.pins(draft.job):
                pinned[draft.job.vo, draft.job.task_id, draft.queue.storage].append((draft.job, draft.here))
            else:
                draft.files += [FileChange(file.seq, FileStatus.READY) for file in draft.here]
        for (vo, task_id, storage), members in pinned.items():
            for first, number, files in pins_of(members):
                names = (self.pin_name(first, number, generation) for generation in range(GENERATIONS))
                name = self._closed.first_open(names)
                block = NewBlock(name, BlockKind.DISPATCH, "", vo, task_id, storage, storage)
                for job, file in files:
                    draft = by_job[job.job_id]
                    draft.files.append(FileChange(file.seq, FileStatus.READY, name))
                    draft.pins[block].append(file)

    def _assign_blocks(self, drafts: Sequence[_Draft]) -> None:
        """Put outputs into sub blocks, or into their destination block itself where they are not bunched."""
        names: dict[SubBunch, str] = {}

        def name_of(bunch: SubBunch) -> str:
            return names.get(bunch) or names.setdefault(bunch, self.sub_name(bunch))

        for draft in drafts:
            job = draft.job
            for file in job.outputs:
                if not file.destination_block:
                    continue
                draft.blocks.append(_destination_block(file, job))
                if not shares_sub_blocks(job):
                    draft.files.append(FileChange(file.seq, file.status, file.destination_block))
                    continue
                bunches = (self.sub_bunch(job, file, generation) for generation in range(GENERATIONS))
                name = self._closed.first_open(map(name_of, bunches))
                draft.subs.append(name)
                draft.blocks.append(sub_block(name, file, job, draft.queue.storage))
                draft.files.append(FileChange(file.seq, file.status, name))

    def _register(self, drafts: Sequence[_Draft]) -> None:
        """Have the catalogue know all blocks before files join them, but sub blocks in which nothing moves."""
        blocks: dict[NewBlock, list[tuple[str, str]]] = {}
        for draft in drafts:
            for block in draft.blocks:
                if block.kind is BlockKind.DESTINATION or block.destination not in ("", block.source):
                    blocks.setdefault(block, [])
            for pin, files in draft.pins.items():
                blocks.setdefault(pin, []).extend(map(replica_of, files))
            inputs = {file.seq: file for file in draft.job.files}
            for transfer in draft.transfers:
                blocks.setdefault(transfer.block, []).extend(replica_of(inputs[seq]) for seq in transfer.seqs)
        if blocks:
            self._catalogue.register_blocks(blocks)

    def add_outputs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> dict[int, Plan]:
        return self._outputs.add(jobs)

    def keep_logs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> dict[int, Plan]:
        return self._outputs.keep_logs(jobs)

    def _sub_names(self, job: Job, file: File, place: str) -> Iterator[str]:
        """Names of a sub block for an output that its pilot stored at another place, one a generation."""
        bunches = (self.sub_bunch(job, file, generation) for generation in range(GENERATIONS))
        return (self.sub_name(replace(bunch, queue=f"{bunch.queue} {place}")) for bunch in bunches)


def _day(job: Job) -> str:
    return job.entered_at.astimezone(UTC).strftime("%m.%d")


def _destination_block(file: File, job: Job) -> NewBlock:
    return NewBlock(
        file.destination_block, BlockKind.DESTINATION, "", job.vo, job.task_id, closes=job.closes_its_blocks
    )


def _looked_for(job: Job) -> list[File]:
    """Inputs that are not known to be at the site."""
    return [file for file in job.files if file.type is FileType.INPUT and file.status not in USABLE_INPUT]
