"""The demo's jobs as JEDI hands them over: those of panda-client, with names that another attempt does not have."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from panda_fsm_jedi.task import Task

from lab.jedi import JediSource, spoils_of, template_of
from lab.workload import Client, JobPlan, prepare_inputs


@pytest.fixture
def plans(tmp_path: Path) -> list[JobPlan]:
    return prepare_inputs(tmp_path, task_id=5, jobs=3, failing=1)


def test_another_attempt_makes_other_files(plans: list[JobPlan]) -> None:
    task = Task(5, "lab-user")
    task.add([template_of(plan) for plan in plans], [spoils_of(plan) for plan in plans])
    jobs = task.make(task.ready, count(101))
    names = [[file["lfn"] for file in job["Files"]] for job in jobs]
    assert names[2] == [plans[2].input_lfn, plans[2].output, plans[2].lfn("log.tgz")]
    assert jobs[2]["jobParameters"] == f"-i {plans[2].input_lfn} -o {plans[2].output} --fail 7"
    assert [job["jobParameters"].endswith("--fail 7") for job in jobs] == [False, False, True]
    task.work[3].status = "ready"
    (again,) = task.make(task.ready, count(104))
    output = plans[2].output.replace("000003", "000004")
    assert [file["lfn"] for file in again["Files"]][:2] == [plans[2].input_lfn, output]
    assert again["jobParameters"].split()[-1] in (output, "7")


def test_what_others_read_has_the_name_that_they_know(plans: list[JobPlan]) -> None:
    part = replace(plans[0], role="part")
    assert [file["lfn"] for file in template_of(part)["Files"]][2] == part.output


def test_who_fails_is_done_again_but_for_those_that_others_wait_for(plans: list[JobPlan]) -> None:
    source = JediSource("amqp://127.0.0.1:1/", Client({}))
    parts = [replace(plan, role="part") for plan in plans]
    assert (source.again(plans), source.again(parts)) == (1, 0)
    assert [plan.exit_code for plan in source.ends(plans)] == [0, 0, 0]
    assert source.ends(parts) == parts
