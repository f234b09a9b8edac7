"""Local, the experiment of jobs whose destination is `local`, whatever their VO: what they make stays where it is."""

from collections.abc import Sequence
from dataclasses import replace

from panda_fsm.jobs.job import Job
from panda_fsm.plans import Plan
from plugins.experiments.generic import GenericPlugin
from plugins.experiments.registry import LOCAL, Stored


class LocalPlugin(GenericPlugin):
    """As the generic one, for jobs whose outputs have no home: nothing is called `local` that they could move to."""

    def setup(self, jobs: Sequence[Job]) -> dict[int, Plan]:
        return super().setup([_homeless(job) for job in jobs])

    def add_outputs(self, jobs: Stored) -> dict[int, Plan]:
        return super().add_outputs([(_homeless(job), stored) for job, stored in jobs])

    def keep_logs(self, jobs: Stored) -> dict[int, Plan]:
        return super().keep_logs([(_homeless(job), stored) for job, stored in jobs])


def _homeless(job: Job) -> Job:
    """The job, with homes only for those of its outputs that have one of their own."""
    files = [replace(file, destination="") if file.destination == LOCAL else file for file in job.files]
    return replace(job, destination="", files=files)
