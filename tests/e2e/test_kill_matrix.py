"""Killing a job in each state, with real processes: what docs/semantics.md §1.3 says becomes of it."""

from __future__ import annotations

import pytest

from panda_fsm.messages import KillJob, ThrottleJobs
from tests import factories
from tests.driver import Driver
from tests.faults import age
from tests.invariants import Listener, check_blocks, check_jobs, dead_letters, depths
from tests.polling import wait_until
from tests.processes import Processes

pytestmark = pytest.mark.e2e

CODES = {4: "closed", 9: "cancelled"}
FAR = "far.csv"
# In the order in which jobs are brought there; the job of a state and code has the number place * 10 + code.
STATES = (
    "assigned", "activated", "sent", "starting", "running", "holding", "transferring", "pending", "waiting",
    "throttled",
)  # fmt: skip
ENDED_AT_ONCE = [state for state in STATES if state != "running"]
FORCED, OBEYS, FINISHES, DIES = 901, 902, 903, 904
LOST_HEARTBEAT_S = 2 * 3600 + 1


def number(state: str, code: int) -> int:
    """The job of this state and code."""
    return (STATES.index(state) + 1) * 10 + code


def jobs(state: str) -> list[int]:
    """The jobs of this state."""
    return [number(state, code) for code in CODES]


def bring(driver: Driver, processes: Processes) -> None:
    """Jobs in every state, each kept there by a service that does not run."""
    database = driver.database

    def wait_for(state: str, ids: list[int]) -> None:
        query = "SELECT job_id FROM job WHERE state = %s AND job_id = ANY(%s)"
        wait_until(lambda: len(database.rows(query, (state, ids))) == len(ids), f"{len(ids)} jobs {state}")

    def pilot(ids: list[int], *states: str) -> None:
        driver.submit([factories.draft(i, destination=factories.SOURCE_STORAGE) for i in ids])
        wait_for("activated", ids)
        assert sorted(driver.claim()) == sorted(ids)
        for lfn in (lfn for i in ids for lfn in factories.output_lfns(i)):
            factories.store_file(processes.lab.queue_storage, lfn)
        driver.publish(factories.report(i, state) for i in ids for state in states)

    factories.store_file(processes.lab.source_storage, FAR)
    for name in ("setupper", "setupper.submissions", "watcher", "watcher.large", "relay", "adder"):
        processes.start(name)
    pilot(jobs("transferring"), "finished")
    wait_for("transferring", jobs("transferring"))
    processes.stop("adder")
    pilot(jobs("holding"), "finished")
    pilot([*jobs("running"), FORCED, OBEYS, FINISHES, DIES], "running")
    pilot(jobs("starting"), "starting")
    pilot(jobs("sent"))
    driver.submit([factories.draft(i) for i in (*jobs("activated"), *jobs("throttled"))])
    driver.submit([factories.draft(i, inputs=("nowhere.csv",)) for i in jobs("waiting")])
    wait_for("activated", jobs("throttled"))
    driver.publish([ThrottleJobs(jobs=jobs("throttled"))])
    driver.submit([factories.draft(i, inputs=(FAR,)) for i in jobs("assigned")])
    driver.publish([factories.submit(*map(factories.draft, jobs("pending")), to_pending=True)])
    for state in STATES:
        wait_for(state, jobs(state))
    wait_for("running", [FORCED, OBEYS, FINISHES, DIES])


def test_kill_in_every_state(processes: Processes, driver: Driver, listener: Listener, broker_url: str) -> None:
    database = driver.database
    bring(driver, processes)
    kills = [KillJob(job_id=number(s, code), code=code, actor="somebody") for s in STATES for code in CODES]
    kills += [KillJob(job_id=i, code=9, forced=i == FORCED) for i in (FORCED, OBEYS, FINISHES, DIES)]
    driver.publish([*kills, *kills])  # twice: a kill that is repeated changes nothing

    ends: dict[int, str] = {number(s, code): end for s in ENDED_AT_ONCE for code, end in CODES.items()}
    ends[FORCED] = "cancelled"
    ask = "SELECT job_id, state FROM job WHERE command IS NULL OR job_id = ANY(%s)"
    wait_until(lambda: dict(database.rows(ask, ([FORCED],))) == ends, "jobs ended at once")
    told = [*jobs("running"), OBEYS, FINISHES, DIES]
    query = "SELECT state, command FROM job WHERE job_id = ANY(%s)"
    assert database.rows(query, (told,)) == [("running", "tobekilled")] * len(told)

    # One pilot obeys, one had finished before it heard of it, one dies.
    driver.publish([factories.report(i, "failed") for i in (OBEYS, *jobs("running"))])
    driver.publish([factories.report(FINISHES, "finished")])
    age(database, LOST_HEARTBEAT_S, [DIES])
    for name in ("activator", "adder", "closer", "finisher", "ddm", "ddm.blocks", "daemon"):
        processes.start(name)
    ends |= dict.fromkeys((OBEYS, *jobs("running")), "cancelled") | {FINISHES: "finished", DIES: "failed"}
    wait_until(lambda: dict(database.rows("SELECT job_id, state FROM job")) == ends, "all jobs ended")
    wait_until(lambda: not depths(broker_url), "empty queues")
    assert dead_letters(database) == []
    check_jobs(database, ends)
    unsettled = "SELECT count(*) FROM job_file WHERE type IN ('output', 'log') AND status NOT IN ('ready', 'failed')"
    assert database.value(unsettled) == 0
    wait_until(lambda: not database.rows("SELECT 1 FROM data_block WHERE kind = 'sub' AND closed_at IS NULL"), "closed")
    database.rows(
        "UPDATE data_block SET status = 'completed' WHERE kind = 'dispatch' RETURNING 1"
    )  # nobody waits for it
    check_blocks(database, listener)
