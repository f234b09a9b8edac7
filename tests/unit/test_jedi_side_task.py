"""JEDI's side: what becomes of a piece of work over its attempts, and the jobs that are made for it."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from panda_fsm_jedi.messages import FileStatus, JobStatus
from panda_fsm_jedi.task import Task
from panda_fsm_jedi.templates import InputFile, TaskSpec


def task(**fields: Any) -> Task:
    values: dict[str, Any] = {
        "taskid": 3, "vo": "lab", "user": "Jane", "name": "lab.t3", "site": "Q", "transformation": "run",
        "parameters": "-n {number} -o {output} -a {attempt}", "jobs": 3,
    }  # fmt: skip
    return Task.of(TaskSpec(**values | fields))


def last_word(job: dict[str, Any], state: str, of_input: str | None = None) -> JobStatus:
    """The final status of a job; `of_input`: what it says of the input, by default what a server says."""
    said = of_input or ("finished" if state == "finished" else "ready")
    one = job["Files"][0]
    file = FileStatus(fileid=one["fileID"], attemptnr=one["attemptNr"], lfn=one["lfn"], type=one["type"], status=said)
    return JobStatus(seq=9, jobid=job["PandaID"], taskid=3, status=state, final=True, files=(file,))


@pytest.mark.parametrize(
    ("ends", "becomes", "attempts"),
    [
        (["finished"], "finished", 1),
        (["failed", "finished"], "finished", 2),
        (["failed", "failed"], "failed", 2),
        (["closed", "failed", "finished"], "finished", 3),
        (["cancelled", "closed", "closed"], "failed", 3),
        (["closed", "closed", "failed"], "failed", 3),
    ],
)
def test_work_is_tried_until_it_is_done_or_was_tried_enough(ends: list[str], becomes: str, attempts: int) -> None:
    played, jobids = task(jobs=1, maxattempt=3, maxfailure=2), count(101)
    for end in ends:
        assert played.work[1].status == "ready"
        (job,) = played.make(played.ready, jobids)
        played.settle(last_word(job, end))
    assert (played.work[1].status, len(played.tries), played.is_over) == (becomes, attempts, True)


def test_a_retry_is_a_job_of_its_own_that_keeps_the_name_of_the_first() -> None:
    played, jobids = task(), count(101)
    first, second, third = played.make(played.ready, jobids)
    for job, end in ((first, "finished"), (second, "failed"), (third, "finished")):
        played.settle(last_word(job, end))
    (again,) = played.make(played.ready, jobids)
    assert (again["PandaID"], again["jobName"], again["oldpandaids"]) == (104, "lab.t3.102", [102])
    assert [job["attemptNr"] for job in (second, again)] == [job["maxAttempt"] for job in (second, again)] == [1, 2]
    assert again["jobParameters"] == "-n 2 -o lab.t3.3._000004.root -a 2"
    (source, *products), (source_again, *products_again) = second["Files"], again["Files"]
    assert source_again == source | {"attemptNr": 1}
    names = [file["lfn"] for job in (first, second, third, again) for file in job["Files"][1:]]
    assert len(set(names)) == len(names), "outputs of two jobs have one name"
    assert not {file["fileID"] for file in products} & {file["fileID"] for file in products_again}
    assert [file["datasetID"] for file in products] == [file["datasetID"] for file in products_again]
    assert [(one.previous, one.origin) for one in played.retries] == [(102, 102)]


def test_a_job_that_was_tried_twice_follows_the_second_and_has_the_name_of_the_first() -> None:
    played, jobids = task(jobs=1, maxfailure=9), count(101)
    for _ in range(2):
        (job,) = played.make(played.ready, jobids)
        played.settle(last_word(job, "failed"))
    (job,) = played.make(played.ready, jobids)
    assert (job["jobName"], job["oldpandaids"], job["failedAttempt"]) == ("lab.t3.101", [102], 2)


def test_the_input_decides_where_job_and_input_differ() -> None:
    played, jobids = task(jobs=1), count(101)
    (job,) = played.make(played.ready, jobids)
    played.settle(last_word(job, "finished", of_input="ready"))
    assert played.work[1].status == "ready"


def test_a_last_word_that_comes_late_or_twice_changes_nothing() -> None:
    played, jobids = task(jobs=1), count(101)
    (first,) = played.make(played.ready, jobids)
    played.settle(last_word(first, "failed"))
    played.settle(last_word(first, "failed"))
    played.make(played.ready, jobids)
    played.settle(last_word(first, "finished"))
    assert (played.work[1].status, played.work[1].attemptnr, played.work[1].failures) == ("running", 1, 1)


def test_nothing_of_an_aborted_task_is_tried_again() -> None:
    played, jobids = task(), count(101)
    first, second, _ = played.make(played.ready, jobids)
    played.settle(last_word(first, "failed"))
    assert played.abort() == [102, 103]
    played.settle(last_word(second, "cancelled"))
    assert [one.status for one in played.work.values()] == ["cancelled", "cancelled", "running"]
    assert not played.ready


def test_spoilt_work_is_spoilt_once() -> None:
    played, jobids = task(jobs=4, spoil_every=2, spoil_with="--fail 7"), count(101)
    jobs = played.make(played.ready, jobids)
    assert [job["jobParameters"].endswith(" --fail 7") for job in jobs] == [False, True, False, True]
    played.settle(last_word(jobs[1], "failed"))
    (again,) = played.make(played.ready, jobids)
    assert not again["jobParameters"].endswith("--fail 7")


def test_a_task_with_inputs_has_a_job_for_each() -> None:
    inputs = tuple(InputFile(lfn=f"in.{n}", scope="s", dataset="d", guid="g", fsize=5, checksum="ad:1") for n in (1, 2))
    played = task(jobs=0, inputs=inputs, parameters="-i {input}")
    jobs = played.make(played.ready, count(101))
    assert [job["jobParameters"] for job in jobs] == ["-i in.1", "-i in.2"]
    known = {"type": "input", "lfn": "in.2", "scope": "s", "GUID": "g", "dataset": "d", "fsize": 5, "attemptNr": 0}
    assert known.items() <= jobs[1]["Files"][0].items()
