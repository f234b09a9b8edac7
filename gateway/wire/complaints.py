"""What is wrong with a job or a file that was submitted, by the names that its sender used."""

from collections.abc import Mapping

from pydantic import ValidationError

from panda_fsm.errors import first_complaint

OF_JOBS: Mapping[str, str] = {
    "job_definition_id": "jobDefinitionID",
    "jobset_id": "jobsetID",
    "task_id": "jediTaskID",
    "attempt_nr": "attemptNr",
    "name": "jobName",
    "vo": "VO",
    "site": "computingSite",
    "label": "prodSourceLabel",
    "priority": "currentPriority",
    "core_count": "coreCount",
    "min_ram": "minRamCount",
    "max_disk": "maxDiskCount",
    "max_walltime": "maxWalltime",
    "destination": "destinationSE",
    "processing_type": "processingType",
    "special_handling": "specialHandling",
    "transfer_type": "transferType",
}
OF_FILES: Mapping[str, str] = {
    "destination_block": "destinationDBlock",
    "destination": "destinationSE",
    "guid": "GUID",
    "size": "fsize",
}


def by_sent_names(error: ValidationError, names: Mapping[str, str]) -> str:
    """The first complaint as one sentence."""
    where, what = first_complaint(error)
    field, dot, rest = where.partition(".")
    return ": ".join(part for part in (names.get(field, field) + dot + rest, what) if part)
