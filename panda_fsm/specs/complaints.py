"""What is wrong with a job or a file that was submitted, by the names that its sender used."""

from collections.abc import Mapping
from typing import Any

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
TOKENS = {True: ("dispatchDBlockToken", "destinationDBlockToken"), False: ("prodDBlockToken", "dispatchDBlockToken")}
"""Of an output, or of an input: which of its tokens is for its pilot, and which says its place."""


def of_file(sent: Mapping[str, Any]) -> Mapping[str, str]:
    """Some fields come by one name for outputs and by another for inputs, some by one of two."""
    token, place_token = TOKENS[sent.get("type") in ("output", "log")]
    return {
        "dataset": "dataset" if sent.get("dataset") else "prodDBlock",
        "destination_block": "destinationDBlock",
        "destination": "destinationSE",
        "guid": "GUID",
        "size": "fsize",
        "checksum": "checksum" if sent.get("checksum") else "md5sum",
        "token": token,
        "place_token": place_token,
    }


def by_sent_names(error: ValidationError, names: Mapping[str, str]) -> str:
    """The first complaint as one sentence."""
    where, what = first_complaint(error)
    field, dot, rest = where.partition(".")
    return ": ".join(part for part in (names.get(field, field) + dot + rest, what) if part)
