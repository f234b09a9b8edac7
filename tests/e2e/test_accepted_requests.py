"""What users and pilots were told is accepted is done, even when the broker is emptied before anybody looked at it."""

from __future__ import annotations

import json

import pytest

from lab.site import QUEUE
from tests.driver import Database
from tests.e2e.conftest import ENGINE
from tests.faults import command, delete_queues
from tests.gateway_http import Caller
from tests.invariants import check_jobs, dead_letters, depths, wait_for_end
from tests.panda_clients import panda_client
from tests.polling import wait_until
from tests.processes import Processes

pytestmark = pytest.mark.e2e

JOBS = 20
SUBMIT = f"""
jobs = []
for number in range({JOBS}):
    job = JobSpec()
    job.jobDefinitionID, job.jobName, job.computingSite, job.VO = number, f"kept.{{number}}", {QUEUE!r}, "lab"
    job.prodSourceLabel, job.transformation, job.jobParameters, job.taskID = "user", "http://here/run", "-p x", 11
    for kind in ("output", "log"):
        file = FileSpec()
        file.lfn, file.type, file.scope = "kept.$PANDAID." + kind, kind, "user.lab"
        file.dataset = file.destinationDBlock = "user.lab." + kind
        job.addFile(file)
    jobs.append(job)
status, answer = Client.submitJobs(jobs)
"""


def report(pilot: Caller, job: dict[str, object], state: str) -> None:
    """One update_job, as a new pilot sends it."""
    files = {lfn: {"guid": "", "fsize": 1, "adler32": "00000001"} for lfn in str(job["outFiles"]).split(",")}
    ask = {
        "job_id": job["PandaID"],
        "attempt_nr": job["attemptNr"],
        "job_status": state,
        "job_output_report": json.dumps(files) if state == "finished" else "",
    }
    assert pilot.post("/api/v1/pilot/update_job", ask)["data"] == {"StatusCode": 0, "command": "NULL"}


def test_an_emptied_broker_loses_nothing_that_was_accepted(
    processes: Processes, database: Database, broker_url: str
) -> None:
    # Nobody listens to everything here: a message that finds any queue does not come back.
    processes.start("gateway")
    processes.start("relay")
    processes.wait_until_ready()
    pilot = Caller(processes.gateway_url, "kept-pilot")

    submitted = [job_id for job_id, *_ in panda_client(processes, SUBMIT)]
    assert delete_queues(broker_url) > 0, "nobody has seen the submission yet"
    command(processes, "replay")

    without_watcher = [service for service in ENGINE if service not in ("watcher", "relay")]
    for service in without_watcher:
        processes.start(service)
    wait_until(lambda: database.states() == {"activated": JOBS}, "all jobs activated")
    asked = {"site_name": QUEUE, "prod_source_label": "user", "n_jobs": JOBS}
    jobs = pilot.post("/api/v1/pilot/acquire_jobs", asked)["data"]["jobs"]
    for job in jobs:
        for state in ("starting", "running", "finished"):
            report(pilot, job, state)
    assert delete_queues(broker_url) >= 3 * JOBS, "nobody has seen the reports yet"
    command(processes, "replay")

    processes.start("watcher")
    wait_for_end(database, JOBS)
    wait_until(lambda: database.value("SELECT count(*) FROM outbox") == 0, "an empty outbox")
    wait_until(lambda: not depths(broker_url), "empty queues")
    check_jobs(database, dict.fromkeys(submitted, "finished"))
    registered = "SELECT type, count(*) FROM job_file WHERE status = 'ready' AND checksum = 'ad:00000001' GROUP BY type"
    assert dict(database.rows(registered)) == {"output": JOBS, "log": JOBS}
    assert not dead_letters(database)
    assert database.value("SELECT count(*) FROM request") == 0
    pilot.close()
