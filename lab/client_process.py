"""The process in which the real panda-client works: reads JSON, submits, kills or describes jobs, answers JSON.

Run by `lab.workload.Client` as `python -m lab.client_process VERB` with the client's environment set.
"""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

from pandaclient.FileSpec import FileSpec
from pandaclient.JobSpec import JobSpec

from lab.site import QUEUE, QUEUE_STORAGE, SOURCE_STORAGE, VO
from lab.workload import SCOPE, JobPlan
from panda_fsm.jobs.job import TO_MERGE
from panda_fsm.jobs.states import FileType

BUNCH = 100
JOB_FACTS = ("PandaID", "jobStatus", "pilotErrorCode", "pilotErrorDiag", "transExitCode")
FILE_FACTS = ("lfn", "type", "scope", "status", "checksum", "fsize", "GUID", "destinationSE")
# The one base URL for transformations that the registry's pilot accepts over http.
TRANSFORMATIONS = "http://pandaserver-doma.cern.ch:25080/trf/user/"
_SCRIPTS = {"build": "build_library.py", "merge": "merge_spectra.py"}
_PRIORITY, _PRIORITY_OF_BUILD = 1000, 2000


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


def kill(panda_ids: list[int]) -> list[bool]:
    """Kill jobs of ours."""
    status, answer = _client().killJobs(panda_ids)
    if status != 0 or not answer or not all(answer):
        sys.exit(f"killJobs answered {answer} with status {status}")
    return [bool(one) for one in answer]


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
    job.prodSourceLabel = "panda" if plan.role == "build" else "user"
    job.processingType = "panda-fsm-demo"
    job.currentPriority = job.assignedPriority = _PRIORITY_OF_BUILD if plan.role != "alone" else _PRIORITY
    job.attemptNr, job.maxAttempt = 1, 1
    job.coreCount, job.minRamCount, job.maxDiskCount, job.maxWalltime = 1, 100, 10, 3600
    job.transformation = TRANSFORMATIONS + _SCRIPTS.get(plan.role, "pair_mass.py")
    job.jobParameters = _parameters(plan)
    job.prodDBlock = plan.dataset("events")
    job.destinationDBlock = plan.dataset(_kind(plan))
    job.destinationSE = SOURCE_STORAGE
    for file in (*_inputs(plan), _output(plan), _log(plan)):
        job.addFile(file)
    return job


def _parameters(plan: JobPlan) -> str:
    match plan.role:
        case "build":
            return f"-o {plan.output}"
        case "merge":
            return f"-o {plan.output} {' '.join(file.lfn for file in _inputs(plan))}"
    library = f" --library {plan.library}" if plan.role == "part" else ""
    failing = f" --fail {plan.exit_code}" if plan.exit_code else ""
    return f"-i {plan.input_lfn} -o {plan.output}{library}{failing}"


def _kind(plan: JobPlan) -> str:
    """What the data block is for in which the output goes."""
    return {"build": "libraries", "part": "parts"}.get(plan.role, "spectra")


def _inputs(plan: JobPlan) -> list[FileSpec]:
    match plan.role:
        case "build":
            return []
        case "merge":
            parts = [replace(plan, number=number) for number in plan.parts]
            return [_input(plan, part.output, "parts", dispatchDBlockToken=TO_MERGE) for part in parts]
    known = {"GUID": plan.input_guid, "fsize": plan.input_size, "checksum": plan.input_checksum}
    library = [_input(plan, plan.library, "libraries")] if plan.role == "part" else []
    return [_input(plan, plan.input_lfn, "events", **known), *library]


def _input(plan: JobPlan, lfn: str, kind: str, **known: Any) -> FileSpec:
    file = FileSpec()
    file.type, file.scope, file.lfn = "input", SCOPE, lfn
    file.dataset = file.prodDBlock = plan.dataset(kind)
    for name, value in known.items():
        setattr(file, name, value)
    return file


def _output(plan: JobPlan) -> FileSpec:
    file = _product(plan, "output", plan.output, _kind(plan))
    file.destinationSE = QUEUE_STORAGE if plan.stays(FileType.OUTPUT) else SOURCE_STORAGE
    if plan.role == "part":
        file.destinationDBlockToken = TO_MERGE
    return file


def _log(plan: JobPlan) -> FileSpec:
    return _product(plan, "log", plan.lfn("log.tgz"), "logs")


def _product(plan: JobPlan, kind: str, lfn: str, block: str) -> FileSpec:
    file = FileSpec()
    file.type, file.scope, file.lfn = kind, SCOPE, lfn
    file.dataset = file.destinationDBlock = plan.dataset(block)
    file.destinationSE = SOURCE_STORAGE
    return file


def main() -> int:
    """Command line: the verb as argument, its data on standard input, the answer as last line of output."""
    data = json.load(sys.stdin)
    match sys.argv[1]:
        case "submit":
            answer: object = submit([JobPlan(**plan | {"parts": tuple(plan["parts"])}) for plan in data])
        case "kill":
            answer = kill(data)
        case "describe":
            answer = describe(data)
        case verb:
            sys.exit(f"unknown verb {verb}")
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
