"""Which jobs share a sub block, and the numbers in its name: derived from the job itself, never from how jobs came."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from panda_fsm.jobs.job import Job

JOBS_PER_SUB_BLOCK = 50
_JOBS_OF_SECOND_GENERATION = 10
GENERATIONS = 3
"""Blocks that a job may choose from, one after the other as they are closed: fifty jobs', ten jobs', its own."""


@dataclass(frozen=True, slots=True)
class SubBunch:
    """Outputs that share a sub block: of one destination block, one home, one queue and one task, of these jobs.

    `jobs` numbers the neighbours among all PandaIDs; `life` tells the blocks of a job alone from those it had before.
    """

    destination_block: str
    destination: str
    queue: str
    vo: str
    task_id: int
    jobs: int
    life: int = 0

    @property
    def number(self) -> str:
        """Digits that no other bunch has, whatever else the names of their blocks have in common."""
        key = (self.destination_block, self.destination, self.queue, self.vo, self.task_id, self.jobs, self.life)
        digest = int.from_bytes(sha256("\0".join(map(str, key)).encode()).digest()[:5], "big")
        return f"{self.jobs}{digest:013d}"


def neighbours(job: Job, generation: int) -> tuple[int, int]:
    """The number of the job's neighbours in a generation, and of its life where it has none.

    PandaIDs are given out from 1 of a thousand on, so jobs submitted together are neighbours of each other alone.
    """
    fifty, place = divmod(job.job_id - 1, JOBS_PER_SUB_BLOCK)
    if generation == 0:
        return fifty * 100, 0
    if generation == 1:
        return fifty * 100 + 1 + place // _JOBS_OF_SECOND_GENERATION, 0
    return fifty * 100 + 10 + place, job.version


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
