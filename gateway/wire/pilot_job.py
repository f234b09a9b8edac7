"""The job as pilots read it: a flat dict with comma lists, one entry a file, nothing written as "NULL" or ""."""

from collections.abc import Iterable
from typing import Any

from panda_fsm.descriptions import FileRow, JobDescription

NOTHING = "NULL"
_ALLOW_NO_OUTPUT = "an"
_SPECIAL = {"nc": ("noExecStrCnv", True), "lc": ("loopingCheck", False)}
"""Tags of special_handling that the pilot must know about."""


def pilot_job(job: JobDescription, storage: str) -> dict[str, Any]:
    """The answer to getJob for one job at a queue that reads and writes `storage`."""
    inputs = [file for file in job.files if file.type == "input"]
    outputs = [file for file in job.files if file.type in ("output", "log")]
    return (
        _plain(job)
        | _inputs(inputs, storage)
        | _outputs(outputs, storage, str(job.spec.get("destination_se") or NOTHING))
        | _extras(job, outputs)
    )


def _plain(job: JobDescription) -> dict[str, Any]:
    columns, spec = job.columns, job.spec
    return {
        "PandaID": job.job_id,
        "attemptNr": columns["attempt_nr"],
        "taskID": spec.get("task_id", columns["task_id"]),
        "jobsetID": columns["jobset_id"],
        "jobDefinitionID": columns["job_definition_id"],
        "jobName": columns["name"] or NOTHING,
        "prodSourceLabel": columns["label"],
        "processingType": spec.get("processing_type", NOTHING),
        "prodUserID": spec.get("prod_user_id") or columns["user_name"],
        "transformation": spec.get("transformation", ""),
        "jobPars": spec.get("job_parameters", ""),
        "homepackage": spec.get("home_package", NOTHING),
        "swRelease": spec.get("software_release", NOTHING),
        "cmtConfig": spec.get("cmt_config", ""),
        "transferType": spec.get("transfer_type", NOTHING),
        "currentPriority": columns["priority"],
        "coreCount": columns["core_count"],
        "minRamCount": columns["min_ram"],
        "maxDiskCount": columns["max_disk"],
        "maxWalltime": columns["max_walltime"],
        "maxCpuCount": spec.get("max_cpu_count", 0),
        "resource_type": columns["resource_type"],
        "nucleus": spec.get("nucleus", NOTHING),
        "sourceSite": spec.get("source_site", NOTHING),
        "cloud": spec.get("cloud", ""),
        "debug": "False",
    }


def _inputs(files: list[FileRow], storage: str) -> dict[str, Any]:
    return {
        "inFiles": _list(file.lfn for file in files),
        "GUID": _list(file.guid or NOTHING for file in files),
        "fsize": _list(str(file.size) for file in files),
        "checksum": _list(file.checksum or NOTHING for file in files),
        "scopeIn": _list(file.scope for file in files),
        "realDatasetsIn": _list(file.dataset or NOTHING for file in files),
        "ddmEndPointIn": _list(storage for _ in files),
        "prodDBlockToken": _list(file.token or NOTHING for file in files),
        "prodDBlocks": _list(file.dataset or NOTHING for file in files),
        "dispatchDblock": NOTHING,
        "dispatchDBlockToken": _list(NOTHING for _ in files),
    }


def _outputs(files: list[FileRow], storage: str, destination: str) -> dict[str, Any]:
    log = next((file for file in files if file.type == "log"), None)
    return {
        "outFiles": _list(file.lfn for file in files),
        # One scope an output; the log's stands by itself, and the pilot merges them by position.
        "scopeOut": _list(file.scope for file in files if file is not log),
        "scopeLog": log.scope if log else "",
        "logFile": log.lfn if log else "",
        "logGUID": log.guid if log else "",
        "realDatasets": _list(file.dataset or file.destination_block or NOTHING for file in files),
        "ddmEndPointOut": _list(storage for _ in files),
        "destinationDblock": _list(file.destination_block or NOTHING for file in files),
        "destinationDBlockToken": _list(NOTHING for _ in files),
        "destinationSE": destination,
        "fileDestinationSE": _list(file.destination or NOTHING for file in files),
        "dispatchDBlockTokenForOut": _list(file.token or NOTHING for file in files),
    }


def _extras(job: JobDescription, outputs: list[FileRow]) -> dict[str, Any]:
    """Fields that only some jobs have."""
    extras: dict[str, Any] = {}
    optional = [file.lfn for file in outputs if _ALLOW_NO_OUTPUT in file.token.split(",")]
    if optional:
        extras["allowNoOutput"] = _list(optional)
    if "req_id" in job.spec:
        extras["reqID"] = job.spec["req_id"]
    if image := job.spec.get("container_name"):
        extras["container_name"] = image
    for tag in str(job.spec.get("special_handling", "")).split(","):
        if tag in _SPECIAL:
            name, value = _SPECIAL[tag]
            extras[name] = str(value)
    return extras


def _list(values: Iterable[str]) -> str:
    return ",".join(values)
