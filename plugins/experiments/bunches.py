"""Which jobs share a block, and the numbers in a sub block's name: derived from the job, never from how jobs came."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from panda_fsm.jobs.job import File, Job
from panda_fsm.jobs.states import BUILD, USER_LABELS

JOBS_PER_SUB_BLOCK = 50
_JOBS_OF_SECOND_GENERATION = 10
GENERATIONS = 3
"""Blocks that a job may choose from, one after the other as they are closed: fifty jobs', ten jobs', its own."""
URGENT = 6000
"""A user's job above this priority shares its sub block with nobody: it is not kept waiting for others."""
_LONGEST_TYPE = 20
_SITE_TEST, _EACH_ALONE = "ptest", "prod_test"
_TESTERS = ("pathena", "prun")
_ROBOT = "gangarobot"
Member = tuple[Job, list[File]]
"""A job and those of its inputs that are spoken of."""
_NO_BUNCH, _PRESTAGED = "disable_file_aggregation", "ip"
"""Tags of a job."""


@dataclass(frozen=True, slots=True)
class SubBunch:
    """Outputs that share a sub block: of one destination block, one home, one token, one queue and one task, of these
    jobs.

    `jobs` numbers the neighbours among all PandaIDs; `life` tells the blocks of a job alone from those it had before.
    """

    destination_block: str
    destination: str
    token: str
    queue: str
    vo: str
    task_id: int
    jobs: int
    life: int = 0

    @property
    def number(self) -> str:
        """Digits that no other bunch has, whatever else the names of their blocks have in common."""
        key = (self.destination_block, self.destination, self.token, self.queue, self.vo, self.task_id, self.jobs)
        digest = int.from_bytes(sha256("\0".join(map(str, (*key, self.life))).encode()).digest()[:5], "big")
        return f"{self.jobs}{digest:013d}"


def neighbours(job: Job, generation: int) -> tuple[int, int]:
    """The number of the job's neighbours in a generation, and of its life where it has none.

    PandaIDs are given out from 1 of a thousand on, so jobs submitted together are neighbours of each other alone.
    """
    fifty, place = divmod(job.job_id - 1, JOBS_PER_SUB_BLOCK)
    alone = fifty * 100 + 10 + place
    if job.label in USER_LABELS and job.priority > URGENT:
        return alone, job.version if generation else 0
    if generation == 0:
        return fifty * 100, 0
    if generation == 1:
        return fifty * 100 + 1 + place // _JOBS_OF_SECOND_GENERATION, 0
    return alone, job.version


def shares_sub_blocks(job: Job) -> bool:
    """Whether the outputs of a job are bunched: those of builds and of some tests go into their destination block."""
    if job.label == BUILD or _NO_BUNCH in _tags(job) or job.processing_type.startswith(_ROBOT):
        return False
    return not (job.label == _SITE_TEST and job.processing_type in _TESTERS)


class Way(NamedTuple):
    """What inputs have in common that may share a dispatch block; `subs` are the sub blocks of their jobs' outputs, so
    that no dispatch block is split over two of them."""

    source: str
    destination: str
    site: str
    vo: str
    task_id: int
    dataset: str
    transfer_type: str
    processing_type: str
    is_jedis: bool
    subs: tuple[str, ...]
    alone: int
    """The one job that it is for; 0 where jobs may share."""

    @property
    def data_type(self) -> str:
        """The kind of data in the dataset, where its name says so: `project.number.name.step.kind.version`."""
        fields = self.dataset.rstrip("/").split(".")
        return fields[4] if len(fields) > 4 and 0 < len(fields[4]) <= _LONGEST_TYPE else "GEN"


def way_of(job: Job, source: str, destination: str, dataset: str, subs: Iterable[str]) -> Way:
    """The way of a job's inputs from one storage to another; `dataset` is that of the first."""
    return Way(
        source, destination, job.site, job.vo, job.task_id, dataset, job.transfer_type, job.processing_type,
        job.is_jedis, tuple(subs), job.job_id if job.label == _EACH_ALONE else 0,
    )  # fmt: skip


def is_prestaged(job: Job) -> bool:
    """Whether its inputs are fetched from tape."""
    return _PRESTAGED in _tags(job)


def _tags(job: Job) -> list[str]:
    return [tag.strip() for tag in job.special_handling.split(",")]


class ClosedBlocks:
    """Blocks that somebody found closed. They stay so: no other job need find it out again, at the cost of a round."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._names: dict[str, None] = {}

    def learn(self, names: Iterable[str]) -> None:
        """Remember names; the oldest are forgotten."""
        self._names.update(dict.fromkeys(names))
        while len(self._names) > self._most:
            del self._names[next(iter(self._names))]

    def first_open(self, names: Iterable[str]) -> str:
        """The first name that is not known as closed, else the last."""
        name = ""
        for name in names:
            if name not in self._names:
                break
        return name
