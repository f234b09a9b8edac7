"""The demo's second task: a build job, jobs that read what it makes, and the job that merges what they make.

Of those in between one fails and one is killed, so each ends as docs/semantics.md says: for the demo to be verified.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lab.progress import Snapshot
from lab.verify import Verdict, verify
from lab.workload import FAILING_EXIT_CODE, JobPlan, Source, prepare_inputs
from panda_fsm.jobs.states import State

PARTS = 4
GOOD, FAILS, IS_KILLED = (2, 3), 4, 5
"""Numbers of the jobs between the build job, which is the first, and the one that merges, which is the last."""
JOBS = PARTS + 2


class Chain:
    """Jobs that wait for each other. The one that merges comes when there is something to merge, as JEDI submits it."""

    def __init__(self, source: Source, source_storage: Path, task_id: int) -> None:
        self.task_id = task_id
        self._source = source
        build, *inputs = prepare_inputs(source_storage, task_id, 1 + PARTS)
        self._plans = [
            replace(build, role="build"),
            *(_part(plan) for plan in inputs),
        ]
        self._merge = replace(build, number=JOBS, role="merge", parts=GOOD)
        self._panda_ids: list[int] = []

    def submit(self) -> None:
        """All but the last; one is killed while it waits for the build job."""
        self._panda_ids = self._source.submit(self._plans)
        self._source.kill([self._panda_ids[IS_KILLED - 1]])

    def tend(self, snapshot: Snapshot) -> None:
        """Submit the job that merges, once its parts are there."""
        if len(self._plans) < JOBS and snapshot.count(State.MERGING) == len(GOOD):
            self._plans.append(self._merge)
            self._panda_ids += self._source.submit([self._merge])

    def verify(self, storages: dict[str, Path]) -> Verdict:
        """Whether each ended as planned, and the merged spectrum is that of its parts."""
        described = self._source.describe(self._panda_ids)
        verdict = verify(self._plans, described, storages)
        verdict.problems += self._source.problems(described)
        if len(self._plans) < JOBS:
            verdict.problems.append("there was nothing to merge")
        elif verdict.spectrum != verdict.merged:
            verdict.problems.append("the merged spectrum is not the sum of its parts")
        return verdict


def _part(plan: JobPlan) -> JobPlan:
    exit_code = FAILING_EXIT_CODE if plan.number == FAILS else 0
    return replace(plan, role="part", exit_code=exit_code, is_killed=plan.number == IS_KILLED)
