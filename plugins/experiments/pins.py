"""Pins: blocks of inputs that are at the site already, so that the DDM keeps them there. Nobody waits for one."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from panda_fsm.jobs.job import File, Job
from plugins.experiments.bunches import Member

JOBS_PER_PIN = 20
"""So many jobs have their pins in common."""
FILES_PER_PIN = 500


def pins_of(members: Sequence[Member]) -> Iterator[tuple[Job, int, list[tuple[Job, File]]]]:
    """The pins of jobs whose inputs are at one storage: each with the first of its bunch of jobs, its number in that
    bunch, and its files; one that several jobs of a bunch read is in one pin."""
    for start in range(0, len(members), JOBS_PER_PIN):
        bunch = members[start : start + JOBS_PER_PIN]
        places: dict[tuple[str, str], int] = {}
        pins: dict[int, list[tuple[Job, File]]] = defaultdict(list)
        for job, files in bunch:
            for file in files:
                place = places.setdefault((file.scope, file.lfn), len(places))
                pins[place // FILES_PER_PIN].append((job, file))
        first, _ = bunch[0]
        for number, pinned in pins.items():
            yield first, number, pinned
