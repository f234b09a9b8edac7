"""What JEDI sends of a job becomes a draft: by the rules of all jobs, and a few of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jedi.requests import SubmitJobs
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.jobs.names import NameCheck
from panda_fsm.jobs.states import USER_LABELS
from panda_fsm.sites import SitesNow
from panda_fsm.specs.files import fill
from panda_fsm.specs.jobs import JEDI, PLACES, PRIORITIES, Given, attributes, job_draft, places_of
from panda_fsm.specs.names import SNAKE_OF
from panda_fsm.specs.output_names import refuse_names
from panda_fsm.specs.values import whole

FILE_IDS = "file_ids"
"""Where a specification keeps what JEDI knows a file by: of its number [task, dataset, file, attempt]."""
OF_A_FILE = ("jediTaskID", "datasetID", "fileID", "attemptNr")
_PRODUCTION = "managed"
"""In the names of files of these jobs only the PandaID is filled in; the rest is JEDI's to fill."""
_NO_SET = (None, "", 0, "0")
_UNTYPED = "Undefined"
"""The resource type of a job for which JEDI knows none."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of every job: a queue that there is, and outputs that their catalogue can register."""

    sites: SitesNow
    check: NameCheck


def draft(
    sent: Mapping[str, Any], request: SubmitJobs, job_id: int, origin_id: int, number: Callable[[], int], rules: Rules
) -> JobDraft:
    """The job to be. `number`: of the jobset and the job definition, for those that have none of their own.

    Raises ValueError, or pydantic's own kind of it, that says what is wrong with which attribute.
    """
    files = sent.get("Files")
    files = [] if files is None else files
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise ValueError("Files: must be a list of objects")
    spec = _specification(sent, request)
    label = str(spec.get("prod_source_label", ""))
    user = str(request.user or spec.get("prod_user_id") or spec.get("prod_user_name") or JEDI)
    jobset_id = number() if spec.get("jobset_id") in _NO_SET else 0
    given = Given(job_id, jobset_id, user, origin_id, in_files=_filled(label))
    job = job_draft(spec, files, given)
    _require(job, request, rules)
    job.is_jedis = True
    job.user = job.spec["prod_user_name"] = str(spec.get("prod_user_name") or _name(user))
    if label in USER_LABELS:
        job.priority = job.spec["current_priority"] = PRIORITIES[label]
        job.job_definition_id = job.job_definition_id or number()
    job.spec[FILE_IDS] = _file_ids(files)
    return job


def renamed(sent: Mapping[str, Any], job_id: int, jobset_id: int, task_id: int) -> dict[str, str]:
    """What the names of a job's files have become, of those that are called otherwise now."""
    filled = _filled(str(sent.get("prodSourceLabel") or ""))
    places = {place: value for place, value in places_of(job_id, jobset_id, task_id).items() if place in filled}
    files = sent.get("Files")
    lfns = [file.get("lfn") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    names = {lfn: fill(lfn, places) for lfn in lfns if isinstance(lfn, str) and "$" in lfn}
    return {template: lfn for template, lfn in names.items() if template != lfn}


def _filled(label: str) -> tuple[str, ...]:
    """Which places are filled in the names of a job's files."""
    return ("$PANDAID",) if label == _PRODUCTION else PLACES


def _specification(sent: Mapping[str, Any], request: SubmitJobs) -> dict[str, Any]:
    """What is said of the job, and of all jobs of the request. Names that we do not know say nothing."""
    known = ((SNAKE_OF[name], name, value) for name, value in sent.items() if name in SNAKE_OF)
    spec = attributes(known)
    if not spec.get("vo"):
        spec["vo"] = request.vo or ""
    if not spec.get("jedi_task_id"):
        spec["jedi_task_id"] = request.taskid or 0
    if spec.get("resource_type") == _UNTYPED:
        del spec["resource_type"]
    spec["lockedby"] = JEDI
    return spec


def _require(job: JobDraft, request: SubmitJobs, rules: Rules) -> None:
    """Raises ValueError for what JEDI could not be told of, or what no pilot could run."""
    if not job.vo:
        raise ValueError("VO: is missing")
    if not job.task_id:
        raise ValueError("jediTaskID: is missing")
    if request.taskid not in (None, job.task_id):
        raise ValueError(f"jediTaskID: is {job.task_id} in a request of task {request.taskid}")
    if job.site not in rules.sites.queues:
        raise ValueError(f"computingSite: unknown queue {job.site!r:.80}")
    places = places_of(job.job_id, job.jobset_id, job.task_id)
    refuse_names(job, rules.check, lambda lfn: fill(lfn, places))


def _file_ids(files: Sequence[Mapping[str, Any]]) -> dict[str, list[int | None]]:
    """By a file's number. Raises ValueError."""
    ids: dict[str, list[int | None]] = {}
    for seq, file in enumerate(files):
        try:
            known = [whole(file.get(name)) for name in OF_A_FILE]
        except ValueError as error:
            raise ValueError(f"file {seq}: one of {', '.join(OF_A_FILE)}: {error}") from None
        if any(one is not None for one in known):
            ids[str(seq)] = known
    return ids


def _name(user: str) -> str:
    """What people call a user who is known by a distinguished name."""
    if not user.startswith("/"):
        return user
    names = [part.removeprefix("CN=") for part in user.split("/") if part.startswith("CN=")]
    return next((name for name in reversed(names) if "proxy" not in name and not name.isdigit()), user)
