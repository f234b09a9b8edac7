"""Build jobs: what reads their library waits for them, runs when they have finished, and ends when they failed."""

from __future__ import annotations

import pytest

from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.messages import KillJob
from tests import factories
from tests.driver import Driver
from tests.inprocess import steps
from tests.invariants import Listener, check_all, wait_for_end
from tests.polling import wait_until
from tests.processes import Processes

pytestmark = pytest.mark.e2e

RUNS = range(11, 51)


def build(job_id: int) -> JobDraft:
    """It makes a library; what it reads, nobody else makes."""
    return factories.draft(job_id, label="panda")


def run(job_id: int, *makers: int) -> JobDraft:
    """It reads the libraries of these."""
    lfns = (factories.INPUT, *(factories.output_lfns(maker)[0] for maker in makers))
    return factories.draft(job_id, inputs=lfns, upstream=list(makers))


def test_run_jobs_follow_their_build_jobs(
    engine: Processes, driver: Driver, listener: Listener, broker_url: str
) -> None:
    """Finished, failed and killed ones; what is submitted before its build job waits for that too."""
    database = driver.database
    early, good, mixed, killed = RUNS[:10], RUNS[10:20], RUNS[20:30], RUNS[30:]
    driver.submit([run(number, 1) for number in early])
    waiting = "SELECT count(*) FROM job WHERE state = 'defined' AND waits_for LIKE 'waits for job 1, %%'"
    wait_until(lambda: database.value(waiting) == len(early), "jobs that wait for one that is not there yet")
    makers = {**dict.fromkeys(good, (1,)), **dict.fromkeys(mixed, (1, 2)), **dict.fromkeys(killed, (3,))}
    driver.submit([build(1), build(2), build(3), *(run(number, *of) for number, of in makers.items())])
    wait_until(lambda: database.states() == {"activated": 3, "defined": len(RUNS)}, "all but build jobs wait")
    driver.publish([KillJob(job_id=3, code=9)])
    driver.fails = lambda job_id: job_id == 2
    with driver.pilots():
        wait_for_end(database, len(RUNS) + 3)
    ends = dict.fromkeys((1, *early, *good), "finished") | dict.fromkeys((*mixed, *killed, 3), "cancelled")
    why = "SELECT DISTINCT errors -> 'task_buffer' ->> 'diag' FROM job WHERE job_id = ANY(%s) ORDER BY 1"
    assert database.rows(why, (list(mixed),)) == [("upstream job failed: 2 is failed",)]
    assert [event for _, event in steps(database, mixed[0])] == ["submitted", "upstream_failed"]
    check_all(database, broker_url, listener, ends | {2: "failed"})
