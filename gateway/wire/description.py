"""A job as panda-client reads it back: attributes by their PanDA names, dates marked as such, and its files."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.wire.pilot_job import destination_token
from panda_fsm.codes import Component
from panda_fsm.descriptions import FileRow, JobDescription
from panda_fsm.jobs.job import LIBRARY
from panda_fsm.jobs.pilot_commands import DEBUG, besides_debug, is_debugged
from panda_fsm.jobs.states import FileStatus, FileType, State
from panda_fsm.specs.names import JOB_ATTRIBUTES, SNAKE_JOB_ATTRIBUTES, words

_COLUMNS = {
    "panda_id": "job_id",
    "job_definition_id": "job_definition_id",
    "jobset_id": "jobset_id",
    "job_status": "state",
    "attempt_nr": "attempt_nr",
    "job_name": "name",
    "vo": "vo",
    "computing_site": "site",
    "prod_source_label": "label",
    "prod_user_name": "user_name",
    "current_priority": "priority",
    "core_count": "core_count",
    "min_ram_count": "min_ram",
    "max_disk_count": "max_disk",
    "max_walltime": "max_walltime",
    "resource_type": "resource_type",
    "destination_se": "destination",
    "command_to_pilot": "command",
    "modification_host": "node",
    "creation_time": "created_at",
    "modification_time": "modified_at",
    "state_change_time": "state_changed_at",
    "start_time": "started_at",
    "end_time": "ended_at",
}
"""Attributes that the server keeps in columns."""
_ENDED_BY_KILL = (State.CANCELLED, State.CLOSED)
_STORED = (FileStatus.READY, FileStatus.TRANSFERRING, FileStatus.MERGING)

_BY_PILOT = {
    "core_count": "actual_core_count",
    "cpu_conversion_factor": "cpu_conversion",
    "node": "modification_host",
}
"""What pilots call differently. What a pilot says of its job goes before what the server noticed of it."""
_DATES = ("start_time", "end_time")
_IN_BYTES = frozenset(words("tot_rchar tot_wchar tot_rbytes tot_wbytes rate_rchar rate_wchar rate_rbytes rate_wbytes"))
"""What pilots report in bytes; in the field's own database, and for all who read it, these are kilobytes."""

_ZEROES = frozenset(name for name in SNAKE_JOB_ATTRIBUTES if name.endswith("_error_code")) | frozenset(
    words(
        "assigned_priority current_priority attempt_nr max_attempt max_cpu_count max_disk_count min_ram_count"
        " cpu_consumption_time n_events relocation_flag job_execution_id n_output_data_files output_file_bytes"
    )
)
"""Attributes that are 0 where nothing is known, as the field's own database has them."""


def describe(job: JobDescription) -> dict[str, Any]:
    """All 126 attributes and the files; what has no value is null, which the client shows as "NULL"."""
    columns = job.columns
    values: dict[str, Any] = dict(job.spec)
    values |= {name: columns[column] for name, column in _COLUMNS.items() if columns.get(column) is not None}
    if columns.get("holder") is not None:
        values["job_execution_id"] = 0  # for the background are those that wait
    values |= _told(columns.get("command"), values.get("special_handling"))
    values |= _of_pilot(columns.get("pilot") or {})
    values |= _errors(columns.get("errors") or {}, columns["state"])
    values |= _of_files(job.files)
    if columns.get("metadata") is not None:
        values["metadata"] = columns["metadata"]
    if columns["task_id"]:
        values.setdefault("jedi_task_id", columns["task_id"])
    if columns["state"] == State.FINISHED:
        values.setdefault("trans_exit_code", 0)
    described = {
        name: _value(values.get(snaked, 0 if snaked in _ZEROES else None))
        for name, snaked in zip(JOB_ATTRIBUTES, SNAKE_JOB_ATTRIBUTES, strict=True)
    }
    described["Files"] = [_file(job, file) for file in job.files]
    return described


def _told(told: str | None, tags: str | None) -> dict[str, Any]:
    """The command that waits for the pilot; debug mode is a tag, as in the field's own database."""
    if told is None:
        return {}
    command = {"command_to_pilot": besides_debug(told)}
    if not is_debugged(told):
        return command
    return command | {"special_handling": f"{tags},{DEBUG}" if tags else DEBUG}


def _of_pilot(pilot: dict[str, Any]) -> dict[str, Any]:
    """What pilots reported, dates as dates."""
    values = {_BY_PILOT.get(name, name): value for name, value in pilot.items()}
    for name in _IN_BYTES & values.keys():
        if isinstance(values[name], int | float):
            values[name] = round(values[name] / 1024)
    for name in _DATES:
        if isinstance(values.get(name), str):
            values[name] = _date(values[name])
    return values


def _date(text: str) -> datetime | str:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def _errors(errors: dict[str, Any], state: str) -> dict[str, Any]:
    """Error columns from {component: {code, diag}}.

    A kill that the pilot was asked for is an error only of the job that ended by it; of others its diagnosis is told.
    """
    values: dict[str, Any] = {}
    if kill := errors.get(Component.KILL):
        values["task_buffer_error_code"] = kill.get("code") if state in _ENDED_BY_KILL else 0
        values["task_buffer_error_diag"] = kill.get("diag")
    for component, error in errors.items():
        if component == Component.TRANS:
            values["trans_exit_code"] = error.get("code")
        elif component != Component.KILL:
            values[f"{component}_error_code"] = error.get("code")
            values[f"{component}_error_diag"] = error.get("diag") or None
    return values


def _of_files(files: Sequence[FileRow]) -> dict[str, Any]:
    """What adds up from the files."""
    inputs = {file.lfn: file for file in files if file.type == FileType.INPUT and not file.lfn.endswith(LIBRARY)}
    outputs = [file for file in files if file.type == FileType.OUTPUT and file.status in _STORED]
    values: dict[str, Any] = {"n_output_data_files": len(outputs), "output_file_bytes": sum(f.size for f in outputs)}
    if inputs:
        values |= {"n_input_data_files": len(inputs), "input_file_bytes": sum(f.size for f in inputs.values())}
    return values


def _value(value: Any) -> Any:
    """Naive UTC times, as PanDA always had them; and an empty text is nothing, as in the field's own database."""
    if value == "":
        return None
    if isinstance(value, datetime):
        return {"__datetime__": value.astimezone(UTC).replace(tzinfo=None).isoformat()}
    return value


def _file(job: JobDescription, file: FileRow) -> dict[str, Any]:
    is_input = file.type in ("input", "pseudo_input")
    return {
        "rowID": file.seq,
        "PandaID": job.job_id,
        "GUID": file.guid or None,
        "lfn": file.lfn,
        "type": file.type,
        "dataset": file.dataset or None,
        "status": file.status,
        "prodDBlock": (file.dataset or None) if is_input else None,
        "prodDBlockToken": (file.token or None) if is_input else None,
        "dispatchDBlock": None,
        "dispatchDBlockToken": None if is_input else file.token or None,
        "destinationDBlock": file.destination_block or None,
        "destinationDBlockToken": destination_token(job, file) or None,
        "destinationSE": file.destination or None,
        "fsize": file.size,
        "md5sum": file.checksum[4:] if file.checksum.startswith("md5:") else None,
        "checksum": file.checksum or None,
        "scope": file.scope or None,
    }
