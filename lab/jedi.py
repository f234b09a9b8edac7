"""The demo's jobs handed over by JEDI's side instead of panda-client: the same jobs, and those that fail done again."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from panda_fsm_jedi.player import Player
from panda_fsm_jedi.task import Task
from panda_fsm_jedi.templates import SERIAL
from pandaclient.FileSpec import FileSpec
from pandaclient.JobSpec import JobSpec

from lab.client_process import job_spec
from lab.site import VO
from lab.workload import Client, ClientError, JobPlan

USER = "lab-user"
_PATIENCE_S = 60.0
_UNSET = ("NULL", None)


class JediSource:
    """JEDI for the demo's tasks, in a thread; `client` is who looks at the jobs in the end, as with any other source.

    A job of the first task that fails is done again, of the others nothing is.
    """

    name = "JEDI"

    def __init__(self, url: str, client: Client) -> None:
        self._client = client
        self._player = Player(url, VO)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._play, name="jedi", daemon=True)
        self._failed: BaseException | None = None

    def submit(self, plans: Sequence[JobPlan]) -> list[int]:
        """Hand over the jobs; the PandaIDs of their first attempts, in the same order."""
        first = plans[0]
        task = self._player.tasks.get(first.task_id) or Task(first.task_id, USER, maxattempt=_attempts(first))
        work = self._player.add(task, [template_of(plan) for plan in plans], [spoils_of(plan) for plan in plans])
        self._player.wait_for(lambda: bool(self._failed) or all(one.jobids for one in work), _PATIENCE_S)
        if self._failed or not all(one.jobids for one in work):
            raise ClientError(f"JEDI got no PandaIDs: {self._failed or self._player.trouble or 'nobody answers'}")
        return [one.jobids[0] for one in work]

    def kill(self, panda_ids: Sequence[int]) -> None:
        """Kill jobs, as JEDI."""
        self._player.kill(panda_ids)

    def describe(self, panda_ids: Sequence[int]) -> list[dict[str, Any] | None]:
        """State, error codes and files of the last attempt of each job, by panda-client."""
        return self._client.describe([self._last(one) for one in panda_ids])

    def again(self, plans: Sequence[JobPlan]) -> int:
        """How many of the jobs will be done again."""
        return sum(1 for plan in plans if plan.exit_code and _attempts(plan) > 1)

    def ends(self, plans: Sequence[JobPlan]) -> list[JobPlan]:
        """What the last attempts are to come to."""
        return [replace(plan, exit_code=0) if _attempts(plan) > 1 else plan for plan in plans]

    def problems(self, described: Sequence[dict[str, Any] | None]) -> Iterator[str]:
        """Where JEDI's picture, which is made of messages alone, is not what the server says."""
        self._player.wait_for(lambda: self._player.is_over, _PATIENCE_S)
        yield from self._player.problems
        if self._failed is not None:
            yield f"JEDI has ended: {self._failed!r}"
        for job in filter(None, described):
            known = self._player.picture.jobs.get(int(job["PandaID"]))
            if known is None or known.status != job["jobStatus"]:
                yield f"job {job['PandaID']} is {job['jobStatus']}, for JEDI {known.status if known else 'unknown'}"
                continue
            told = {file.lfn: (file.guid, file.fsize, file.checksum) for file in known.files}
            for file in job["files"] if job["jobStatus"] == "finished" else ():
                there = (file["GUID"], int(file["fsize"]), file["checksum"])
                if file["type"] in ("output", "log") and told.get(file["lfn"]) != there:
                    yield f"{file['lfn']} is {there}, for JEDI {told.get(file['lfn'])}"

    def _last(self, jobid: int) -> int:
        """The last job for the same piece of work."""
        task = next(task for task in self._player.tasks.values() if jobid in task.tries)
        return task.work[task.tries[jobid].number].jobids[-1]

    def __enter__(self) -> JediSource:
        self._player.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._player.wake()
        self._player.__exit__()
        self._thread.join(_PATIENCE_S)

    def _play(self) -> None:
        try:
            self._player.play(until=self._is_over.is_set)
        except Exception as error:
            self._failed = error
            self._player.wake()


def _attempts(plan: JobPlan) -> int:
    return 2 if plan.role == "alone" else 1


def spoils_of(plan: JobPlan) -> str:
    """What makes the first attempt fail."""
    return f" --fail {plan.exit_code}" if plan.exit_code else ""


def template_of(plan: JobPlan) -> dict[str, Any]:
    """The job as panda-client would submit it, by the same names."""
    spec = job_spec(replace(plan, exit_code=0))
    files = [_attributes(file, FileSpec) for file in spec.Files]
    job = _attributes(spec, JobSpec)
    if plan.role == "alone":
        # Outputs of another attempt are others.
        numbered, serial = plan.lfn(""), plan.lfn("").replace(f"{plan.number:06d}", SERIAL)
        job["jobParameters"] = job["jobParameters"].replace(f"-o {numbered}", f"-o {serial}")
        for file in files:
            if file["type"] != "input":
                file["lfn"] = file["lfn"].replace(numbered, serial)
    return {**job, "Files": files}


def _attributes(spec: Any, kind: type[JobSpec] | type[FileSpec]) -> dict[str, Any]:
    """What is set."""
    found = {name: getattr(spec, name) for name in kind._attributes}
    return {name: value for name, value in found.items() if value not in _UNSET}
