"""The process in which the real panda-client works: reads JSON, submits or describes jobs, answers JSON.

Run by `lab.workload.Client` as `python -m lab.client_process VERB` with the client's environment set.
"""

from __future__ import annotations

import importlib
import json
import sys
from types import ModuleType
from typing import Any

from pandaclient.FileSpec import FileSpec
from pandaclient.JobSpec import JobSpec

from lab.site import QUEUE, SOURCE_STORAGE, VO
from lab.workload import SCOPE, JobPlan

BUNCH = 100
OUTPUT, LOG = "spectrum.json", "log.tgz"
JOB_FACTS = ("PandaID", "jobStatus", "pilotErrorCode", "pilotErrorDiag", "transExitCode")
FILE_FACTS = ("lfn", "type", "scope", "status", "checksum", "fsize", "GUID", "destinationSE")
# The one base URL for transformations that the registry's pilot accepts over http.
TRANSFORMATION = "http://pandaserver-doma.cern.ch:25080/trf/user/pair_mass.py"


def submit(plans: list[JobPlan]) -> list[int]:
    """PandaIDs in the order of the plans."""
    client = _client()
    panda_ids: list[int] = []
    for start in range(0, len(plans), BUNCH):
        status, answer = client.submitJobs([job_spec(plan) for plan in plans[start : start + BUNCH]])
        if status != 0 or answer is None:
            sys.exit(f"submitJobs answered status {status}")
        panda_ids += [int(entry[0]) for entry in answer]
    return panda_ids


def describe(panda_ids: list[int]) -> list[dict[str, Any] | None]:
    """What the demo checks of each job."""
    client = _client()
    described: list[dict[str, Any] | None] = []
    for start in range(0, len(panda_ids), BUNCH):
        status, specs = client.getFullJobStatus(panda_ids[start : start + BUNCH])
        if status != 0 or specs is None:
            sys.exit(f"getFullJobStatus answered status {status}")
        described += [_job_facts(spec) for spec in specs]
    return described


def _client() -> ModuleType:
    """The client's module, which on import asks the name server unless its environment is set."""
    return importlib.import_module("pandaclient.Client")


def _job_facts(spec: JobSpec | None) -> dict[str, Any] | None:
    if spec is None:
        return None
    facts = {name: getattr(spec, name) for name in JOB_FACTS}
    return facts | {"files": [{name: getattr(file, name) for name in FILE_FACTS} for file in spec.Files]}


def job_spec(plan: JobPlan) -> JobSpec:
    """The job as a user's script would define it."""
    job = JobSpec()
    job.jobDefinitionID = plan.task_id % 10000
    job.jobName = f"{SCOPE}.{plan.task_id}.{plan.number:06d}"
    job.taskID = job.jediTaskID = plan.task_id
    job.VO = VO
    job.computingSite = QUEUE
    job.prodSourceLabel = "user"
    job.processingType = "panda-fsm-demo"
    job.currentPriority = job.assignedPriority = 1000
    job.attemptNr, job.maxAttempt = 1, 1
    job.coreCount, job.minRamCount, job.maxDiskCount, job.maxWalltime = 1, 100, 10, 3600
    job.transformation = TRANSFORMATION
    job.jobParameters = f"-i {plan.input_lfn} -o {plan.lfn(OUTPUT)}"
    if plan.exit_code:
        job.jobParameters += f" --fail {plan.exit_code}"
    job.prodDBlock = plan.dataset("events")
    job.destinationDBlock = plan.dataset("spectra")
    job.destinationSE = SOURCE_STORAGE
    for file in (_input(plan), _product(plan, "output"), _product(plan, "log")):
        job.addFile(file)
    return job


def _input(plan: JobPlan) -> FileSpec:
    file = FileSpec()
    file.type, file.scope, file.lfn, file.GUID = "input", SCOPE, plan.input_lfn, plan.input_guid
    file.fsize, file.checksum = plan.input_size, plan.input_checksum
    file.dataset = file.prodDBlock = plan.dataset("events")
    return file


def _product(plan: JobPlan, kind: str) -> FileSpec:
    file = FileSpec()
    file.type, file.scope = kind, SCOPE
    file.lfn = plan.lfn(LOG if kind == "log" else OUTPUT)
    file.dataset = file.destinationDBlock = plan.dataset("logs" if kind == "log" else "spectra")
    file.destinationSE = SOURCE_STORAGE
    return file


def main() -> int:
    """Command line: the verb as argument, its data on standard input, the answer as last line of output."""
    data = json.load(sys.stdin)
    match sys.argv[1]:
        case "submit":
            answer: object = submit([JobPlan(**plan) for plan in data])
        case "describe":
            answer = describe(data)
        case verb:
            sys.exit(f"unknown verb {verb}")
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
