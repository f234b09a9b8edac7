"""`submit_jobs`: JobSpecs by JEDI's names become jobs; a wrong one is answered with its error and spoils no other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import ValidationError

from jedi.ports import RequestStore
from jedi.replies import RefusedJob, Reply, SubmitJobsReply, SubmittedJob
from jedi.requests import MOST_IDS, SubmitJobs
from jedi.specs import Rules, draft, renamed
from panda_fsm.answers import NO_DEED, Deed, Descent, KnownJob, NewJobs
from panda_fsm.auditing import about_jobs
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.jobs.table import Trigger
from panda_fsm.specs.complaints import OF_JOBS, by_sent_names
from panda_fsm.specs.values import MAX_BIGINT, whole

OWNER = "jedi:"
"""Before the actor's name it is the owner of its jobs; keys of the gateway's callers begin otherwise."""
MERGE = "merge"
"""How jobs are related to those whose outputs they merge; any other relation says that they do them again."""
_RETRY = "retry"


@dataclass(slots=True)
class _Sent:
    """A job of a bunch: what is said of it, the PandaID that it has already, and the jobs that it is made for."""

    attributes: dict[str, Any] = field(default_factory=dict)
    job_id: int | None = None
    olds: list[int] = field(default_factory=list)
    error: str | None = None


@dataclass(slots=True)
class _Known:
    """What the database says of a bunch. `fresh` are PandaIDs for those that have none."""

    granted: set[int]
    jobs: dict[int, KnownJob]
    origins: dict[int, int]
    fresh: Iterator[int]


class Submitter:
    """Each job of a bunch is stored, was stored before, or is refused."""

    def __init__(self, store: RequestStore, rules: Rules) -> None:
        self._store = store
        self._rules = rules

    def __call__(self, actor: str, request: SubmitJobs) -> tuple[Reply, Deed]:
        bunch = _read(request.jobs)
        known = self._look_up(actor, bunch)
        number = cache(self._store.job_set_id)
        results: list[SubmittedJob | RefusedJob] = []
        drafts: list[JobDraft] = []
        descents: list[Descent] = []
        for sent in bunch:
            try:
                job = _at_hand(sent, request, known)
                if job is not None:
                    results.append(_result(job, sent))
                    continue
                job_id = sent.job_id or next(known.fresh)
                family = _family(sent, job_id, request.relationtype or _RETRY, known.origins)
                origin_id = family[0].origin_job_id if family and family[0].relation != MERGE else job_id
                new = draft(sent.attributes, request, job_id, origin_id, number, self._rules)
            except ValueError as error:
                results.append(RefusedJob(error=_told(error), pandaid=sent.job_id))
            else:
                drafts.append(new)
                descents += family
                results.append(_result(new, sent))
        return SubmitJobsReply(taskid=request.taskid, results=results), _deed(actor, request, drafts, descents)

    def _look_up(self, actor: str, bunch: Sequence[_Sent]) -> _Known:
        named = [sent.job_id for sent in bunch if sent.job_id is not None and sent.error is None]
        olds = sorted({old for sent in bunch for old in sent.olds})
        nameless = sum(sent.job_id is None and sent.error is None for sent in bunch)
        return _Known(
            self._store.granted(actor, named) if named else set(),
            self._store.jobs(named) if named else {},
            self._store.origins(olds) if olds else {},
            iter(self._store.job_ids(nameless)),
        )


def _read(jobs: Sequence[Any]) -> list[_Sent]:
    """The jobs of a request, one by one."""
    bunch = [_sent(one) for one in jobs]
    seen = set[int]()
    for sent in bunch:
        if sent.job_id in seen:
            sent.error = f"PandaID: {sent.job_id} is that of a job before it in the bunch"
        elif sent.job_id is not None:
            seen.add(sent.job_id)
    return bunch


def _sent(one: Any) -> _Sent:
    if not isinstance(one, dict):
        return _Sent(error="must be an object of attributes")
    sent = _Sent(one)
    try:
        sent.job_id = _id("PandaID", one.get("PandaID"))
        olds = one.get("oldpandaids")
        olds = [] if olds is None else olds
        if not isinstance(olds, list) or len(olds) > MOST_IDS:
            raise ValueError(f"oldpandaids: must be a list of at most {MOST_IDS} PandaIDs")
        sent.olds = [old for one in olds if (old := _id("oldpandaids", one)) is not None]
    except ValueError as error:
        sent.error = str(error)
    return sent


def _id(name: str, value: Any) -> int | None:
    try:
        found = whole(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if found is not None and not 1 <= found <= MAX_BIGINT:
        raise ValueError(f"{name}: is no PandaID")
    return found


def _at_hand(sent: _Sent, request: SubmitJobs, known: _Known) -> KnownJob | None:
    """The job, if it is stored already. Raises ValueError if it cannot be this one."""
    if sent.error is not None:
        raise ValueError(sent.error)
    if sent.job_id is None:
        return None
    if sent.job_id not in known.granted:
        raise ValueError(f"PandaID: {sent.job_id} is in no block that was granted to you")
    job = known.jobs.get(sent.job_id)
    if job is not None and job.task_id != (_id("jediTaskID", sent.attributes.get("jediTaskID")) or request.taskid):
        raise ValueError(f"PandaID: {sent.job_id} is a job of another task")
    return job


def _family(sent: _Sent, job_id: int, relation: str, origins: dict[int, int]) -> list[Descent]:
    return [Descent(old, job_id, origins.get(old, old), relation) for old in dict.fromkeys(sent.olds) if old != job_id]


def _result(job: KnownJob | JobDraft, sent: _Sent) -> SubmittedJob:
    return SubmittedJob(
        pandaid=job.job_id, jobdefinitionid=job.job_definition_id, jobsetid=job.jobset_id, jobname=job.name,
        lfns=renamed(sent.attributes, job.job_id, job.jobset_id, job.task_id),
    )  # fmt: skip


def _told(error: ValueError) -> str:
    return by_sent_names(error, OF_JOBS) if isinstance(error, ValidationError) else str(error)


def _deed(actor: str, request: SubmitJobs, drafts: list[JobDraft], descents: list[Descent]) -> Deed:
    if not drafts:
        return NO_DEED
    trigger = Trigger.SUBMITTED_PENDING if request.to_pending else Trigger.SUBMITTED
    detail: dict[str, object] = {
        "labels": sorted({job.label for job in drafts}), "vos": sorted({job.vo for job in drafts}),
        "tasks": sorted({job.task_id for job in drafts}), "msg_id": request.msg_id,
    }  # fmt: skip
    row = about_jobs(actor, request.user, "jobs_submitted", [job.job_id for job in drafts], detail)
    return Deed(NewJobs(trigger, f"{OWNER}{actor}", drafts), descents=tuple(descents), audit=(row,))
