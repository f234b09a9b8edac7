"""A task as JEDI keeps it: pieces of work, their attempts, and the jobs that are made for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from panda_fsm_jedi.messages import JobStatus
from panda_fsm_jedi.templates import ATTEMPT, SERIAL, TaskSpec

_IDS_OF_TASK = 1_000_000
"""So many ids of files for a task, from its own id on: JEDI's come from a sequence."""
_INPUTS = ("input", "pseudo_input")


@dataclass
class Work:
    """One piece of work: its template, what becomes of it, and the jobs that tried it.

    `status`: ready, running, finished, failed (no attempt is left) or cancelled.
    """

    number: int
    template: Mapping[str, Any]
    inputs: tuple[int, ...]
    """Ids of its input files, in the template's order; the first is what the work is about."""
    spoils: str = ""
    status: str = "ready"
    attemptnr: int = 0
    failures: int = 0
    jobids: list[int] = field(default_factory=list)
    is_killed: bool = False


@dataclass(frozen=True)
class Try:
    """A job: which piece of work it does, and after which job."""

    jobid: int
    number: int
    attemptnr: int
    previous: int | None
    origin: int


class Task:
    """Makes jobs of what is ready, and learns from their last words what is to be done again.

    A template is a JobSpec by JEDI's names. A piece of work is tried `maxattempt` times at most, and given up when
    `maxfailure` jobs of it have failed (a job that was killed or closed is an attempt and no failure).
    """

    def __init__(self, taskid: int, user: str, *, maxattempt: int = 3, maxfailure: int = 3) -> None:
        self.taskid, self.user = taskid, user
        self.tries: dict[int, Try] = {}
        """All jobs that were ever made, by PandaID."""
        self.work: dict[int, Work] = {}
        self._maxattempt, self._maxfailure = maxattempt, maxfailure
        self._last_file = taskid * _IDS_OF_TASK
        self._datasets: dict[str, int] = {}
        self._serial = 0

    @classmethod
    def of(cls, spec: TaskSpec) -> Self:
        """A task as described."""
        task = cls(spec.taskid, spec.user, maxattempt=spec.maxattempt, maxfailure=spec.maxfailure)
        templates = spec.templates()
        task.add(templates, [spec.spoils(number) for number, _ in enumerate(templates, start=1)])
        return task

    def add(self, templates: Sequence[Mapping[str, Any]], spoils: Sequence[str] = ()) -> list[Work]:
        """More work, a piece a template; `spoils`: what the parameters of each first attempt get added."""
        added = []
        for template, spoil in zip(templates, spoils or [""] * len(templates), strict=True):
            number = len(self.work) + 1
            inputs = [self._new_file() for file in template["Files"] if file["type"] in _INPUTS]
            self.work[number] = Work(number, template, tuple(inputs), spoil)
            added.append(self.work[number])
        return added

    @property
    def ready(self) -> list[Work]:
        """What needs a job."""
        return [one for one in self.work.values() if one.status == "ready"]

    @property
    def running(self) -> list[int]:
        """PandaIDs of the jobs that have not come to their end."""
        return [one.jobids[-1] for one in self.work.values() if one.status == "running"]

    @property
    def is_over(self) -> bool:
        """Whether no job runs and none is to be made."""
        return not any(one.status in ("ready", "running") for one in self.work.values())

    @property
    def retries(self) -> list[Try]:
        """Jobs that follow another one."""
        return [one for one in self.tries.values() if one.previous is not None]

    def make(self, work: Sequence[Work], jobids: Iterator[int]) -> list[dict[str, Any]]:
        """The next job of each piece of work, with a PandaID that was granted to us."""
        return [self._job(one, jobid) for one, jobid in zip(work, jobids, strict=False)]

    def give_up(self, jobid: int) -> None:
        """The server did not store the job: nobody will do this piece of work."""
        self.work[self.tries[jobid].number].status = "failed"

    def abort(self) -> list[int]:
        """Nothing is tried again; the jobs to kill."""
        for one in self.work.values():
            one.is_killed = True
            one.status = "cancelled" if one.status == "ready" else one.status
        return self.running

    def settle(self, status: JobStatus) -> None:
        """The last word on a job of ours: its input is done, is tried again, or has been tried enough."""
        work = self.work[self.tries[status.jobid].number]
        if work.status != "running" or work.jobids[-1] != status.jobid:
            return
        said = next((one.status for one in status.files if one.fileid in work.inputs[:1]), status.status)
        if said in ("finished", "skipped", "merging"):
            work.status = "finished"
            return
        work.attemptnr += 1
        work.failures += status.status == "failed"
        is_enough = work.attemptnr >= self._maxattempt or work.failures >= self._maxfailure
        work.status = "cancelled" if work.is_killed else "failed" if is_enough else "ready"

    def _job(self, work: Work, jobid: int) -> dict[str, Any]:
        previous = work.jobids[-1] if work.jobids else None
        work.jobids.append(jobid)
        work.status = "running"
        attemptnr, origin = work.attemptnr + 1, work.jobids[0]
        self.tries[jobid] = Try(jobid, work.number, attemptnr, previous, origin)
        self._serial += 1
        parameters = f"{work.template['jobParameters']}{work.spoils if attemptnr == 1 else ''}"
        return {
            **work.template,
            "PandaID": jobid,
            # A retry keeps the name of the first job.
            "jobName": f"{work.template['jobName']}.{origin}",
            "jediTaskID": self.taskid,
            "lockedby": "jedi",
            # The server tries none again: that is JEDI's, with a job of its own.
            "attemptNr": attemptnr,
            "maxAttempt": attemptnr,
            "failedAttempt": work.failures,
            "jobParameters": self._named(parameters, attemptnr),
            "oldpandaids": None if previous is None else [previous],
            "Files": list(self._files(work, attemptnr)),
        }

    def _files(self, work: Work, attemptnr: int) -> Iterator[dict[str, Any]]:
        inputs = iter(work.inputs)
        for file in work.template["Files"]:
            is_input = file["type"] in _INPUTS
            yield {
                **file,
                "lfn": self._named(file["lfn"], attemptnr),
                "jediTaskID": self.taskid,
                "datasetID": self._dataset(file["dataset"]),
                "fileID": next(inputs) if is_input else self._new_file(),
                "attemptNr": work.attemptnr if is_input else 0,
            }

    def _named(self, text: str, attemptnr: int) -> str:
        return text.replace(SERIAL, f"{self._serial:06d}").replace(ATTEMPT, str(attemptnr))

    def _new_file(self) -> int:
        self._last_file += 1
        return self._last_file

    def _dataset(self, name: str) -> int:
        return self._datasets.setdefault(name, self.taskid * _IDS_OF_TASK + len(self._datasets) + 1)
