"""Makes a job's draft of its attributes by PanDA's names, whoever sent them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from panda_fsm.jobs.drafts import FileDraft, JobDraft
from panda_fsm.jobs.states import USER_LABELS
from panda_fsm.specs.files import destination_token, file_draft, fill, refuse_unclear_names
from panda_fsm.specs.names import JOB_ATTRIBUTES, SNAKE_JOB_ATTRIBUTES, words
from panda_fsm.specs.values import number, text, whole

FILE_TOKENS = "file_tokens"
"""Where a specification keeps the destination tokens of its outputs, by LFN."""
NOTHING = "NULL"
_DATE = "_datetime_object"
_SERVERS_OWN = words(
    "panda_id job_status state_change_time modification_time modification_host creation_time start_time end_time"
    " prod_db_update_time command_to_pilot"
)
"""Attributes that the server sets, whatever the client put there."""
_FREE_TEXT = frozenset({"job_parameters", "metadata"})
_MAX_FREE_TEXT = 1024 * 1024
_MAY_BE_NEGATIVE = ("current_priority", "assigned_priority", "max_attempt", "job_execution_id", "relocation_flag")
_BACKGROUND = 1
"""The jobExecutionID of a job that pilots take who ask for the background; others mean nothing."""
_NO_REASSIGN = 2
"""The relocationFlag of a job that is to stay at its queue; others mean nothing, for none changes it by a reassign."""
_INSTALL = "install"
PLACES = ("$PANDAID", "$JOBSETID", "$JEDITASKID")
"""What is filled in."""
JEDI = "jedi"
"""Who a job is locked by, if it is a task's."""
_PRIORITY_OF_INSTALL = 4100
PRIORITIES = {"user": 1000, "panda": 2000}
"""Of jobs that come without one: a build job goes before the jobs that wait for it."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the server adds to the attributes of a job. `origin_id`: the first job of its line, if it is not the first.

    `in_files`: which places are filled in the names of its files; the others stay as they are.
    """

    job_id: int
    jobset_id: int
    user: str
    origin_id: int | None = None
    in_files: tuple[str, ...] = PLACES


def places_of(job_id: int, jobset_id: int, task_id: int) -> dict[str, str]:
    """What stands for each place."""
    return dict(zip(PLACES, (f"{job_id:05d}", f"{jobset_id:06d}", str(task_id)), strict=True))


def attributes(sent: Iterable[tuple[str, str, Any]]) -> dict[str, Any]:
    """A specification of (our name, PanDA's name, value); what says nothing is left out. Raises ValueError."""
    return {
        name: _value(original, value, name in _FREE_TEXT)
        for name, original, value in sent
        if value is not None and value != NOTHING and name not in _SERVERS_OWN
    }


def _value(name: str, value: Any, free: bool) -> str | int | float:
    """An attribute's value as plain JSON without anything that a database or a terminal chokes on."""
    if isinstance(value, dict) and isinstance(value.get(_DATE), str):
        value = value[_DATE]
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        if not abs(value) <= 2**63 - 1:  # nor is it no number at all
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


def job_draft(spec: dict[str, Any], files: Sequence[Mapping[str, Any]], given: Given) -> JobDraft:
    """The job of a specification, which is completed, and of its files. Raises ValueError, or pydantic's own kind."""
    numbers = _Numbers(spec)
    task_id = numbers("jedi_task_id") or numbers("task_id") or 0
    jobset_id = numbers("jobset_id") or given.jobset_id
    places = places_of(given.job_id, jobset_id, task_id)
    spec["job_parameters"] = fill(str(spec.get("job_parameters", "")), places)
    spec["job_name"] = str(spec.get("job_name", "")).replace("$ORIGINPANDAID", str(given.origin_id or given.job_id))
    destination = str(spec.get("destination_se", ""))
    drafts = _files(files, {place: places[place] for place in given.in_files}, destination)
    tokens = {d.lfn: token for d, f in zip(drafts, files, strict=True) if (token := destination_token(d, f))}
    _derive(spec, numbers, given.user, tokens)
    return JobDraft(
        job_id=given.job_id,
        job_definition_id=numbers("job_definition_id") or 0,
        jobset_id=jobset_id,
        task_id=task_id,
        attempt_nr=numbers("attempt_nr") or 0,
        name=spec["job_name"],
        vo=str(spec.get("vo", "")),
        site=_site(spec),
        label=spec["prod_source_label"],
        user=given.user,
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
        is_jedis=spec.get("lockedby") == JEDI,
        is_background=numbers("job_execution_id") == _BACKGROUND,
        no_reassign=numbers("relocation_flag") == _NO_REASSIGN,
        spec=spec,
        files=drafts,
    )


def _files(files: Sequence[Mapping[str, Any]], places: Mapping[str, str], destination: str) -> list[FileDraft]:
    drafts = [file_draft(position, file, places, destination) for position, file in enumerate(files)]
    refuse_unclear_names(drafts)
    return drafts


def _derive(spec: dict[str, Any], numbers: "_Numbers", user: str, tokens: dict[str, str]) -> None:
    """What the server makes of what was sent, and of what was not (docs/dialect.md)."""
    label = spec["prod_source_label"] = str(spec.get("prod_source_label", "user"))
    if label in USER_LABELS or not spec.get("prod_user_id"):
        spec["prod_user_id"] = user
    wanted = _or(numbers("assigned_priority"), numbers("current_priority"))
    spec["current_priority"] = _PRIORITY_OF_INSTALL if label == _INSTALL else _or(wanted, PRIORITIES.get(label, 0))
    if label in USER_LABELS:
        attempt, most = numbers("attempt_nr") or 0, numbers("max_attempt") or 0
        spec["max_attempt"] = attempt if most < 0 else max(most, attempt + 2) if most <= attempt else most
    if tokens:
        spec[FILE_TOKENS] = tokens


def _or(value: int | None, otherwise: Any) -> Any:
    """Zero is a value."""
    return otherwise if value is None else value


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
