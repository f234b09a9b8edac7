"""The bodies of what JEDI is told: of a row that waits to be told and its job as it is, key by key."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from panda_fsm.codes import Component
from panda_fsm.descriptions import FileRow
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.job import LIBRARY
from panda_fsm.jobs.states import FileStatus, FileType, State
from panda_fsm.statuses import EVENTS_OF_FILES, JOB_STATUS, JobNow, Untold

_FINAL = frozenset(state.value for state in FINAL)
_ENDED_BY_KILL = (State.CANCELLED, State.CLOSED)
_OF_INPUT = (FileType.INPUT, FileType.PSEUDO_INPUT)
_STORED = (FileStatus.READY, FileStatus.TRANSFERRING, FileStatus.MERGING)
_BLAMED = tuple(component for component in Component if component not in (Component.TRANS, Component.KILL))
_NO_ERRORS: dict[str, Any] = {
    f"{component.value.replace('_', '')}error{what}": none
    for component in _BLAMED for what, none in (("code", 0), ("diag", None))
}  # fmt: skip
_OUTCOMES: dict[str, str] = {
    FileStatus.READY: "finished", FileStatus.NO_OUTPUT: "nooutput", FileStatus.SKIPPED: "skipped",
    FileStatus.MERGING: "merging",
}  # fmt: skip
"""What JEDI calls what became of an output; it failed otherwise."""
_METRICS = {
    "cpuConsumptionTime": "cpu_consumption_time", "cpuConsumptionUnit": "cpu_consumption_unit",
    "cpuConversion": "cpu_conversion_factor", "actualCoreCount": "core_count", "nEvents": "n_events",
    "jobMetrics": "job_metrics", "maxRSS": "max_rss", "maxVMEM": "max_vmem", "maxSWAP": "max_swap", "maxPSS": "max_pss",
    "avgRSS": "avg_rss", "avgVMEM": "avg_vmem", "avgSWAP": "avg_swap", "avgPSS": "avg_pss", "diskIO": "disk_io",
    "memory_leak": "memory_leak", "memory_leak_x2": "memory_leak_x2", "hs06sec": "hs06sec",
}  # fmt: skip
_MOST = 2**63 - 1
"""No sum of sizes is told that JSON's readers may not take, whatever pilots say."""
_IN_BYTES = {
    f"{what}{how}": f"{what.lower()}_{how.lower()}"
    for what in ("tot", "rate") for how in ("RCHAR", "WCHAR", "RBYTES", "WBYTES")
}  # fmt: skip
"""What pilots report in bytes; in the field's own database these are kilobytes."""


def body(told: Untold) -> dict[str, Any]:
    """The body of any message of a status queue."""
    said: dict[str, Any] = {
        "msg_type": told.kind, "msg_id": told.msg_id, "schema": 1, "seq": told.seq, "taskid": told.task_id,
        "timestamp": told.at, "source": told.service.partition(".")[0],
    }  # fmt: skip
    if told.kind == JOB_STATUS:
        said["jobid"], said["status"], said["prev_status"] = told.job_id, told.state, told.prev
        job = told.job
        seen = told.glance if job is None else job.glance
        if seen is not None:
            said["attemptnr"], said["computingsite"], label, said["currentpriority"], host, sub_status = seen
            said["prodsourcelabel"], said["modificationhost"], said["jobsubstatus"] = label or None, host, sub_status
        if job is not None and told.state in _FINAL:
            said |= _final(job)
    return said | told.body if told.body else said


def _final(job: JobNow) -> dict[str, Any]:
    inputs = [file for file in job.files if file.type == FileType.INPUT]
    data = {file.lfn: file.size for file in inputs if not file.lfn.endswith(LIBRARY)}
    stored = [file.size for file in job.files if file.type == FileType.OUTPUT and file.status in _STORED]
    read, written = min(sum(data.values()), _MOST), min(sum(stored), _MOST)
    return {
        "final": True,
        "starttime": _moment(job.pilot.get("start_time"), job.started_at),
        "endtime": _moment(job.pilot.get("end_time"), job.ended_at),
        **_errors(job),
        "inputs": [file.lfn for file in inputs] or None,
        "job_nevents": job.pilot.get("n_events"),
        "job_ninputfiles": len(inputs),
        "job_ninputdatafiles": len(data),
        "job_noutputdatafiles": len(stored),
        "job_inputfilebytes": read,
        "job_outputfilebytes": written,
        "job_hs06sec": job.pilot.get("hs06sec"),
        "metrics": _metrics(job, read, written),
        "files": _files(job),
    }


def _moment(said: Any, noticed: float | None) -> float | None:
    """Seconds since 1970: what the pilot says of its job goes before what we noticed."""
    try:
        return datetime.fromisoformat(said).timestamp()
    except (TypeError, ValueError, OverflowError):
        return noticed


def _errors(job: JobNow) -> dict[str, Any]:
    """Of each component, 0 and nothing where it has none. A kill that the pilot was asked for is an error only of the
    job that ended by it; of others its diagnosis is told."""
    errors = job.errors
    values: dict[str, Any] = dict(_NO_ERRORS)
    for component in _BLAMED if errors else ():
        name, error = component.value.replace("_", ""), errors.get(component.value) or {}
        values[f"{name}errorcode"], values[f"{name}errordiag"] = error.get("code") or 0, error.get("diag") or None
    kill = errors.get(Component.KILL.value)
    if kill and Component.TASK_BUFFER.value not in errors:
        values["taskbuffererrorcode"] = (kill.get("code") or 0) if job.state in _ENDED_BY_KILL else 0
        values["taskbuffererrordiag"] = kill.get("diag") or None
    trans = errors.get(Component.TRANS.value) or {}
    values["transexitcode"] = trans.get("code", 0 if job.state == State.FINISHED else None)
    return values


def _metrics(job: JobNow, read: int, written: int) -> dict[str, Any]:
    """What JEDI reckons scouts by, by the names of JobSpec; what is not known is left out."""
    pilot = job.pilot
    values = {name: pilot.get(ours) for name, ours in _METRICS.items()}
    for name, ours in _IN_BYTES.items():
        value = pilot.get(ours)
        values[name] = round(value / 1024) if isinstance(value, int | float) else None
    values |= {
        "eventService": job.spec.get("event_service"),
        "jobsetID": job.jobset_id,
        "jobStatus": job.state,
        "coreCount": job.core_count,
        "computingSite": job.site,
        "specialHandling": job.special_handling or None,
        "inputFileBytes": read,
        "outputFileBytes": written,
        "startTime": _moment(pilot.get("start_time"), job.started_at),
        "endTime": _moment(pilot.get("end_time"), job.ended_at),
        "modificationHost": job.host,
    }
    return {name: value for name, value in values.items() if value is not None}


def _files(job: JobNow) -> list[dict[str, Any]]:
    ids: dict[str, Sequence[int | None]] = job.spec.get("file_ids") or {}
    events = job.pilot.get(EVENTS_OF_FILES) or {}
    return [_file(file, job.state, ids.get(str(file.seq), (None,) * 4), events) for file in job.files]


def _file(file: FileRow, state: str, ids: Sequence[int | None], events: Mapping[str, int]) -> dict[str, Any]:
    task_id, dataset_id, file_id, attempt_nr = ids
    return {
        "fileid": file_id,
        "datasetid": dataset_id,
        "jeditaskid": task_id,
        "attemptnr": attempt_nr,
        "lfn": file.lfn,
        "type": file.type,
        "status": _outcome(file, state),
        "guid": file.guid or None,
        "fsize": file.size,
        "checksum": file.checksum or None,
        "nevents": events.get(str(file.seq)),
        "lumiblocknr": None,
    }


def _outcome(file: FileRow, state: str) -> str:
    """Inputs of a job that did not finish are ready for another one."""
    if file.type not in _OF_INPUT:
        return _OUTCOMES.get(file.status, "failed")
    if state != State.FINISHED:
        return "ready"
    return "skipped" if file.status == FileStatus.SKIPPED else "finished"
