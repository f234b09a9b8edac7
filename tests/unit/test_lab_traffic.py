"""The simulated traffic: its jobs are as the gateway reads them, its sites fail as their names say."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from gateway.wire.submission import draft, read_jobs
from lab.site import QUEUE_STORAGE, SIMULATED, storage_of
from lab.traffic_cast import BLACK_HOLE, ERRORS, PLACES, Place, Task, outcome, submission
from panda_fsm.jobs.states import FileType


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.queue)
@pytest.mark.parametrize("moves", [False, True])
def test_the_gateway_reads_its_jobs(place: Place, moves: bool) -> None:
    task = Task(7, "ada", place, QUEUE_STORAGE if moves else storage_of(place.queue))
    first, second = (draft(one, 0, 100, 1, "ada", SIMULATED) for one in read_jobs(submission(task, [1, 2])["jobs"]))
    assert (first.site, first.task_id, task.moves) == (place.queue, 7, moves)
    lfns = {FileType(file.type): file.lfn for file in first.files}
    assert set(lfns) == {FileType.INPUT, FileType.OUTPUT, FileType.LOG}
    assert {file.lfn for file in first.files} & {file.lfn for file in second.files} == {lfns[FileType.INPUT]}


def test_each_place_fails_as_it_is_known_for() -> None:
    chance = random.Random(1)
    for place in PLACES:
        node = place.nodes[0]
        failed = [said for _ in range(1000) if (said := outcome(place, node, "ada", chance))]
        assert abs(len(failed) / 1000 - place.failing) < 0.1, place.queue
        assert all("{" not in str(value) for said in failed for value in said.values())
    assert all(outcome(PLACES[0], BLACK_HOLE, "ada", chance) for _ in range(50))
    seen = Counter(tuple(outcome(PLACES[1], "n", "ada", chance)) for _ in range(2000))
    assert len(seen) == 1 + len({tuple(error) for error in ERRORS})
