"""A job as panda-client reads it back: attributes by their PanDA names, dates marked as such, and its files."""

from datetime import UTC, datetime
from typing import Any

from gateway.wire.names import JOB_ATTRIBUTES, SNAKE_JOB_ATTRIBUTES
from panda_fsm.descriptions import FileRow, JobDescription

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

_FROM_PILOT = {"core_count": "actual_core_count", "cpu_conversion_factor": "cpu_conversion", "meta_data": "metadata"}
"""What pilots call differently."""

_ZEROES = frozenset(
    name for name in SNAKE_JOB_ATTRIBUTES if name.endswith("_error_code") or name in ("attempt_nr", "n_events")
)


def describe(job: JobDescription) -> dict[str, Any]:
    """All 126 attributes and the files; what has no value is null, which the client shows as "NULL"."""
    columns = job.columns
    values: dict[str, Any] = dict(job.spec)
    values |= {_FROM_PILOT.get(name, name): value for name, value in (columns.get("pilot") or {}).items()}
    values |= _errors(columns.get("errors") or {})
    values |= {name: columns[column] for name, column in _COLUMNS.items() if columns.get(column) is not None}
    if columns["task_id"]:
        values.setdefault("jedi_task_id", columns["task_id"])
    described = {
        name: _value(values.get(snaked, 0 if snaked in _ZEROES else None))
        for name, snaked in zip(JOB_ATTRIBUTES, SNAKE_JOB_ATTRIBUTES, strict=True)
    }
    described["Files"] = [_file(job.job_id, file) for file in job.files]
    return described


def _errors(errors: dict[str, Any]) -> dict[str, Any]:
    """Error columns from {component: {code, diag}}."""
    values: dict[str, Any] = {}
    for component, error in errors.items():
        if component == "trans":
            values["trans_exit_code"] = error.get("code")
        else:
            values[f"{component}_error_code"] = error.get("code")
            values[f"{component}_error_diag"] = error.get("diag")
    return values


def _value(value: Any) -> Any:
    """The client works with naive UTC times, as PanDA always did."""
    if isinstance(value, datetime):
        return {"__datetime__": value.astimezone(UTC).replace(tzinfo=None).isoformat()}
    return value


def _file(job_id: int, file: FileRow) -> dict[str, Any]:
    is_input = file.type in ("input", "pseudo_input")
    return {
        "rowID": file.seq,
        "PandaID": job_id,
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
        "destinationDBlockToken": None,
        "destinationSE": file.destination or None,
        "fsize": file.size,
        "md5sum": file.checksum[4:] if file.checksum.startswith("md5:") else None,
        "checksum": file.checksum or None,
        "scope": file.scope or None,
    }
