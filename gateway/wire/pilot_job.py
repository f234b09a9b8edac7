"""The job as pilots read it: a flat dict with comma lists, one entry a file, nothing written as "NULL" or ""."""

import base64
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.http.decode import decode_json
from gateway.http.refusal import RefusalError
from panda_fsm.descriptions import FileRow, JobDescription
from panda_fsm.jobs.states import FileType
from panda_fsm.specs.jobs import FILE_TOKENS, NOTHING

_ALLOW_NO_OUTPUT = "an"
_STEPS = ("<MULTI_STEP_EXEC>", "</MULTI_STEP_EXEC>")
_OF_STEPS = ("preprocess", "postprocess", "coprocess", "containerOptions")
_TAGS = {
    "nc": ("noExecStrCnv", "True"), "lc": ("loopingCheck", "False"), "dm": ("debug", "True"),
    "debug": ("debug", "True"), "po": ("putLogToOS", "True"), "if": ("inFilePosEvtNum", "True"),
    "up": ("usePrefetcher", "True"), "ho": ("isHPO", "True"), "om": ("onSiteMerging", "True"),
}  # fmt: skip
"""Tags of special_handling, and what they tell the pilot."""
_ALTERNATIVE_STAGE_OUT, _ENCODED_PARAMETERS, _INPUTS_TO_FILE = "ao:", "ej", "wf"


def pilot_job(job: JobDescription, storage: str) -> dict[str, Any]:
    """The answer to getJob for one job at a queue that reads and writes `storage`."""
    inputs = _once(file for file in job.files if file.type == FileType.INPUT)
    outputs = [file for file in job.files if file.type in (FileType.OUTPUT, FileType.LOG)]
    return (
        _parameters(job)
        | _plain(job)
        | _inputs(inputs, storage)
        | _outputs(job, outputs, storage)
        | _extras(job, outputs)
        | _of_tags(job, inputs)
    )


def destination_token(job: JobDescription, file: FileRow) -> str:
    """The space token of an output's destination, "" for none."""
    tokens = job.spec.get(FILE_TOKENS)
    return str(tokens.get(file.lfn, "")) if tokens else ""


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
    }


def _parameters(job: JobDescription) -> dict[str, Any]:
    """What the payload is called with. Several steps stand behind it in tags, as an object that its user wrote."""
    parameters = str(job.spec.get("job_parameters", ""))
    fields: dict[str, Any] = {}
    begin, end = _STEPS
    if begin in parameters and end in parameters:
        before, _, behind = parameters.partition(begin)
        steps = behind.partition(end)[0]
        try:
            read = decode_json(steps)
        except RefusalError:
            read = None
        if isinstance(read, dict):
            parameters, fields = before, {name: read[name] for name in _OF_STEPS if name in read}
    if _ENCODED_PARAMETERS in _tags(job):
        parameters = base64.b64encode(parameters.encode(errors="replace")).decode()
    return fields | {"jobPars": parameters}


def _tags(job: JobDescription) -> list[str]:
    tags = job.spec.get("special_handling")
    return [tag.strip() for tag in str(tags).split(",")] if tags else []


def _once(files: Iterable[FileRow]) -> list[FileRow]:
    """One file of two datasets is one file to the pilot."""
    found: dict[str, FileRow] = {}
    for file in files:
        found.setdefault(file.lfn, file)
    return list(found.values())


def _inputs(files: Sequence[FileRow], storage: str) -> dict[str, Any]:
    return {
        "inFiles": _list(file.lfn for file in files),
        "GUID": _list(file.guid or NOTHING for file in files),
        "fsize": _list(str(file.size) for file in files),
        "checksum": _list(_checksum(file.checksum) for file in files),
        "scopeIn": _list(file.scope for file in files),
        "realDatasetsIn": _list(file.dataset or NOTHING for file in files),
        "ddmEndPointIn": _list(storage for _ in files),
        "prodDBlockToken": _list(_first(file.token) for file in files),
        "prodDBlocks": _list(file.dataset or NOTHING for file in files),
        "dispatchDblock": _list(NOTHING for _ in files),
        "dispatchDBlockToken": _list(NOTHING for _ in files),
    }


def _checksum(checksum: str) -> str:
    """The pilot takes what it does not know for an adler32; it calls an MD5 sum `md`."""
    return checksum.replace("md5:", "md:", 1) or NOTHING


def _outputs(job: JobDescription, files: Sequence[FileRow], storage: str) -> dict[str, Any]:
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
        "destinationDBlockToken": _list(_place(destination_token(job, file)) for file in files),
        "destinationSE": str(job.spec.get("destination_se") or NOTHING),
        "fileDestinationSE": _list(file.destination or NOTHING for file in files),
        "dispatchDBlockTokenForOut": _list(_first(file.token) for file in files),
    }


def _first(tokens: str) -> str:
    """The first of a file's tokens: pilots read one a file."""
    return tokens.partition(",")[0] or NOTHING


def _place(tokens: str) -> str:
    """The first of an output's destination tokens, as pilots call it."""
    first = _first(tokens)
    return f"dst:{first[4:]}" if first.startswith("ddd:") else first


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
    return extras


def _of_tags(job: JobDescription, inputs: Sequence[FileRow]) -> dict[str, Any]:
    """What the tags of special_handling tell the pilot."""
    tags = _tags(job)
    if not tags:
        return {}
    fields = dict(_TAGS[tag] for tag in tags if tag in _TAGS)
    for tag in tags:
        if tag.startswith(_ALTERNATIVE_STAGE_OUT):
            fields["altStageOut"] = tag.removeprefix(_ALTERNATIVE_STAGE_OUT)
    if _INPUTS_TO_FILE in tags:
        fields["writeToFile"] = _by_dataset(inputs)
    return fields


def _by_dataset(inputs: Sequence[FileRow]) -> str:
    """`tmpin_<dataset>:<lfn>,<lfn>^tmpin_<dataset>:...`: files that the pilot writes, with the names of inputs."""
    datasets: dict[str, list[str]] = {}
    for file in inputs:
        datasets.setdefault(file.dataset.removesuffix("/").rpartition(":")[2], []).append(file.lfn)
    return "^".join(f"tmpin_{dataset}:{','.join(lfns)}" for dataset, lfns in datasets.items())


def _list(values: Iterable[str]) -> str:
    return ",".join(values)
