"""Makes job drafts of what panda-client submits: positional arrays, placeholders, "NULL" for nothing."""

import math
import re
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from gateway.http.decode import decode_json
from gateway.http.refusal import RefusalError, TooManyError, UndecodableError
from gateway.wire.complaints import OF_JOBS, TOKENS, by_sent_names, of_file
from gateway.wire.fields import absent_to_none, number, text, whole
from gateway.wire.names import FILE_ATTRIBUTES, JOB_ATTRIBUTES, SNAKE_JOB_ATTRIBUTES, words
from gateway.wire.pilot_job import FILE_TOKENS
from gateway.wire.user_requests import MAX_JOBS
from panda_fsm.jobs.drafts import PATTERN, FileDraft, JobDraft
from panda_fsm.jobs.states import USER_LABELS

_DATE = "_datetime_object"
_SERVERS_OWN = words(
    "panda_id job_status state_change_time modification_time modification_host creation_time start_time end_time"
    " prod_db_update_time command_to_pilot"
)
"""Attributes that the server sets, whatever the client put there."""
_FREE_TEXT = frozenset({"job_parameters", "metadata"})
_MAX_FREE_TEXT = 1024 * 1024
_USABLE_STATUS = ("ready", "cached")
_MAY_BE_NEGATIVE = ("current_priority", "assigned_priority", "max_attempt", "job_execution_id", "relocation_flag")
_BACKGROUND = 1
"""The jobExecutionID of a job that pilots take who ask for the background; others mean nothing."""
_NO_REASSIGN = 2
"""The relocationFlag of a job that is to stay at its queue; others mean nothing, for none changes it by a reassign."""
_LISTED = ("lfn", "dataset", "destination_block", "destination")
"""What pilots read of all files of a job as one comma list, and that could have a comma otherwise."""
_MOST_PATTERNS = 20
"""All of a job's are compared with the names in its report by a process apart, for seconds if they are made so."""
_INSTALL = "install"
_JEDI = "jedi"
"""Who a job is locked by, if it is a task's."""
_PRIORITY_OF_INSTALL = 4100
_PRIORITIES = {"user": 1000, "panda": 2000}
"""Of jobs that come without one: a build job goes before the jobs that wait for it."""


def read_jobs(sent: Any) -> list[Any]:
    """The jobs of a submission, each still as it was sent. Raises RefusalError."""
    jobs = decode_json(sent) if isinstance(sent, str) else sent
    if not isinstance(jobs, list):
        raise RefusalError("jobs: must be a list of jobs, or its JSON text")
    if not jobs:
        raise RefusalError("jobs: is empty")
    if len(jobs) > MAX_JOBS:
        raise TooManyError(f"jobs: {len(jobs)} jobs, more than {MAX_JOBS} in one request")
    return jobs


def draft(sent: Any, index: int, job_id: int, jobset_id: int, user: str, queues: Any) -> JobDraft:
    """Job `index` of a submission. Raises RefusalError naming the job and its field."""
    try:
        spec, files = _split(sent)
        job = _job(spec, files, job_id, jobset_id, user)
    except ValidationError as error:
        raise RefusalError(f"job {index}: {by_sent_names(error, OF_JOBS)}") from None
    except (UndecodableError, ValueError) as error:
        raise RefusalError(f"job {index}: {error}") from None
    if job.site not in queues:
        raise RefusalError(f"job {index}: computingSite: unknown queue {job.site!r:.80}")
    return job


def _split(sent: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Attributes by snake_case name, and the files. Shorter arrays come from older clients."""
    if not isinstance(sent, list) or not sent or not isinstance(sent[-1], list):
        raise ValueError("must be an array of attributes that ends with the array of its files")
    spec: dict[str, Any] = {}
    for name, original, value in zip(SNAKE_JOB_ATTRIBUTES, JOB_ATTRIBUTES, sent[:-1], strict=False):
        if value is not None and value != "NULL" and name not in _SERVERS_OWN:
            spec[name] = _value(original, value, name in _FREE_TEXT)
    files = []
    for position, file in enumerate(sent[-1]):
        if not isinstance(file, list):
            raise ValueError(f"file {position}: must be an array of attributes")
        named = zip(FILE_ATTRIBUTES, file, strict=False)
        files.append({name: absent_to_none(value) for name, value in named})
    return spec, files


def _value(name: str, value: Any, free: bool) -> str | int | float:
    """An attribute's value as plain JSON without anything that a database or a terminal chokes on."""
    if isinstance(value, dict) and isinstance(value.get(_DATE), str):
        value = value[_DATE]
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        if abs(value) > 2**63 - 1:
            raise ValueError(f"{name}: is out of range")
        return value
    if not isinstance(value, str):
        raise ValueError(f"{name}: must be a text or a number")
    if free:
        if "\x00" in value or len(value) > _MAX_FREE_TEXT:
            raise ValueError(f"{name}: contains NUL or is longer than {_MAX_FREE_TEXT} characters")
        return value
    if len(value) > 4096:
        raise ValueError(f"{name}: is longer than 4096 characters")
    try:
        return text(value) or ""
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _job(spec: dict[str, Any], files: Sequence[dict[str, Any]], job_id: int, jobset_id: int, user: str) -> JobDraft:
    numbers = _Numbers(spec)
    task_id = numbers("jedi_task_id") or numbers("task_id") or 0
    jobset_id = numbers("jobset_id") or jobset_id
    places = {"$PANDAID": f"{job_id:05d}", "$JOBSETID": f"{jobset_id:06d}", "$JEDITASKID": str(task_id)}
    spec["job_parameters"] = _fill(str(spec.get("job_parameters", "")), places)
    spec["job_name"] = str(spec.get("job_name", "")).replace("$ORIGINPANDAID", str(job_id))
    destination = str(spec.get("destination_se", ""))
    drafts = [_file(position, file, places, destination) for position, file in enumerate(files)]
    _refuse_unclear_names(drafts)
    _derive(spec, numbers, user, {d.lfn: token for d, f in zip(drafts, files, strict=True) if (token := _token(d, f))})
    return JobDraft(
        job_id=job_id,
        job_definition_id=numbers("job_definition_id") or 0,
        jobset_id=jobset_id,
        task_id=task_id,
        attempt_nr=numbers("attempt_nr") or 0,
        name=spec["job_name"],
        vo=str(spec.get("vo", "")),
        site=_site(spec),
        label=spec["prod_source_label"],
        user=user,
        priority=spec["current_priority"],
        core_count=_or(numbers("core_count"), 1),
        min_ram=numbers.amount("min_ram_count"),
        max_disk=numbers.amount("max_disk_count"),
        max_walltime=numbers.amount("max_walltime"),
        resource_type=str(spec.get("resource_type", "")),
        destination=destination,
        processing_type=str(spec.get("processing_type", "")),
        special_handling=str(spec.get("special_handling", "")),
        transfer_type=str(spec.get("transfer_type", "")),
        is_jedis=spec.get("lockedby") == _JEDI,
        is_background=numbers("job_execution_id") == _BACKGROUND,
        no_reassign=numbers("relocation_flag") == _NO_REASSIGN,
        spec=spec,
        files=drafts,
    )


def _derive(spec: dict[str, Any], numbers: "_Numbers", user: str, tokens: dict[str, str]) -> None:
    """What the server makes of what was sent, and of what was not (docs/dialect.md)."""
    label = spec["prod_source_label"] = str(spec.get("prod_source_label", "user"))
    if label in USER_LABELS or not spec.get("prod_user_id"):
        spec["prod_user_id"] = user
    wanted = _or(numbers("assigned_priority"), numbers("current_priority"))
    spec["current_priority"] = _PRIORITY_OF_INSTALL if label == _INSTALL else _or(wanted, _PRIORITIES.get(label, 0))
    if label in USER_LABELS:
        attempt, most = numbers("attempt_nr") or 0, numbers("max_attempt") or 0
        spec["max_attempt"] = attempt if most < 0 else max(most, attempt + 2) if most <= attempt else most
    if tokens:
        spec[FILE_TOKENS] = tokens


def _or(value: int | None, otherwise: Any) -> Any:
    """Zero is a value."""
    return otherwise if value is None else value


def _token(draft: FileDraft, sent: dict[str, Any]) -> str:
    """The destination token of an output."""
    wanted = sent.get("destinationDBlockToken") is not None and draft.type in ("output", "log")
    return _named(sent, "destinationDBlockToken") if wanted else ""


def _site(spec: dict[str, Any]) -> str:
    site = str(spec.get("computing_site", ""))
    if not site:
        raise ValueError("computingSite: is missing; this server does not choose a queue for a job")
    return site


Number = TypeVar("Number", int | None, int | float | None)


class _Numbers:
    """Reads whole numbers of a specification; a wrong one is refused by its name."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec

    def __call__(self, name: str) -> int | None:
        return self._checked(name, whole)

    def amount(self, name: str) -> int:
        """How much the job needs: rounded up, nothing if it does not say."""
        found = self._checked(name, number)
        return 0 if found is None else math.ceil(found)

    def _checked(self, name: str, read: Callable[[Any], Number]) -> Number:
        try:
            found = read(self._spec.get(name))
        except ValueError as error:
            raise ValueError(f"{_original(name)}: {error}") from None
        if found is not None and found < 0 and name not in _MAY_BE_NEGATIVE:
            raise ValueError(f"{_original(name)}: must not be negative")
        return found


def _original(name: str) -> str:
    return JOB_ATTRIBUTES[SNAKE_JOB_ATTRIBUTES.index(name)]


def _file(position: int, file: dict[str, Any], places: dict[str, str], destination: str) -> FileDraft:
    try:
        return _file_draft(file, places, destination)
    except ValidationError as error:
        raise ValueError(f"file {position}: {by_sent_names(error, of_file(file))}") from None
    except ValueError as error:
        raise ValueError(f"file {position}: {error}") from None


def _file_draft(file: dict[str, Any], places: dict[str, str], destination: str) -> FileDraft:
    kind = file.get("type")
    is_log, is_output = kind == "log", kind in ("output", "log")
    token, place_token = TOKENS[is_output]
    status = file.get("status")
    draft = FileDraft.model_validate(
        {
            "type": kind,
            "lfn": _fill(_named(file, "lfn"), places),
            "scope": _named(file, "scope"),
            "dataset": _named(file, "dataset") or _named(file, "prodDBlock"),
            "destination_block": _named(file, "destinationDBlock"),
            "destination": _named(file, "destinationSE") or (destination if is_output else ""),
            "guid": _named(file, "GUID") or (str(uuid.uuid4()).upper() if is_log else ""),
            "size": _size(file.get("fsize")),
            "checksum": _checksum(_named(file, "checksum") or _named(file, "md5sum")),
            "status": status if status in _USABLE_STATUS else "unknown",
            "token": _named(file, token),
            "place_token": _named(file, place_token),
        }
    )
    for field in _LISTED:
        if "," in getattr(draft, field):
            raise ValueError(f"{of_file(file).get(field, field)}: must not contain a comma")
    return draft


def _checksum(sent: str) -> str:
    """With its kind before it; clients leave it out where the length tells."""
    if re.fullmatch("[0-9a-fA-F]{32}", sent):
        return f"md5:{sent}"
    return f"ad:{sent}" if re.fullmatch("[0-9a-fA-F]{8}", sent) else sent


def _named(file: dict[str, Any], name: str) -> str:
    try:
        return text(file.get(name)) or ""
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _size(value: Any) -> int:
    try:
        return whole(value) or 0
    except ValueError as error:
        raise ValueError(f"fsize: {error}") from None


def _fill(template: str, places: dict[str, str]) -> str:
    if "$" in template:
        for place, value in places.items():
            template = template.replace(place, value)
    return template


def _refuse_unclear_names(files: Sequence[FileDraft]) -> None:
    outputs = Counter(file.lfn for file in files if file.type in ("output", "log"))
    doubles = [lfn for lfn, times in outputs.items() if times > 1]
    if doubles:
        raise ValueError(f"two output files are called {doubles[0]!r:.80}")
    if sum(file.type == "log" for file in files) > 1:
        raise ValueError("has more than one log file")
    if sum(file.lfn.startswith(PATTERN) for file in files) > _MOST_PATTERNS:
        raise ValueError(f"declares more than {_MOST_PATTERNS} outputs by patterns")
