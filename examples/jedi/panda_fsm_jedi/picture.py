"""What JEDI knows of jobs, from messages alone: the last word on each, files included."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Self

from panda_fsm_jedi.messages import JobStatus


class Picture:
    """The newest status of every job; messages may come twice and in any order."""

    def __init__(self) -> None:
        self.jobs: dict[int, JobStatus] = {}

    def take(self, status: JobStatus) -> bool:
        """Whether this was news; what is not newer than what is known of the job changes nothing.

        Nor does what comes after its end: a replay tells the present state with the `seq` of what was told before, so
        steps that are behind it may still come.
        """
        known = self.jobs.get(status.jobid)
        if known is not None and (status.seq <= known.seq or (known.final and not status.final)):
            return False
        self.jobs[status.jobid] = status
        return True

    def is_final(self, jobid: int) -> bool:
        """Whether the job is known to have come to its end."""
        return jobid in self.jobs and self.jobs[jobid].final

    @property
    def seqs(self) -> dict[int, int]:
        """How far each job is known."""
        return {jobid: status.seq for jobid, status in self.jobs.items()}

    @property
    def since(self) -> int:
        """The highest `seq` that is known. Messages about other jobs with lower ones may still be on their way in
        another shard: to be made whole, ask by task, or with a number from before the outage."""
        return max((status.seq for status in self.jobs.values()), default=0)

    def states(self) -> Counter[str]:
        """Jobs per state."""
        return Counter(status.status for status in self.jobs.values())

    def save(self, file: Path) -> None:
        """Keep it as JSON, replacing the file in one step."""
        partial = file.with_name(f".{file.name}.{os.getpid()}")
        jobs = [status.model_dump(mode="json", exclude_none=True) for status in self.jobs.values()]
        partial.write_text(json.dumps({"jobs": jobs}, indent=1) + "\n")
        partial.replace(file)

    @classmethod
    def load(cls, file: Path) -> Self:
        """What was kept. Raises ValueError: the file is none of `save`."""
        picture = cls()
        for job in json.loads(file.read_text())["jobs"]:
            picture.take(JobStatus.model_validate(job))
        return picture
