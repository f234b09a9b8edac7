"""The rows that a batch's effects become, statement by statement; names are those of the SQL column lists."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import inf
from typing import Any

import orjson

from panda_fsm.effects import Effects, Outgoing
from panda_fsm.errors import SystemicError
from panda_fsm.handler import DeadLetter
from panda_fsm.jobs.deadlines import Kind
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.jobs.facts import FINAL, Limits, Span, in_phases, span
from panda_fsm.jobs.job import TO_MERGE, Job
from panda_fsm.jobs.states import BUILD, Phase, State
from panda_fsm.jobs.table import JOB, Trigger
from panda_fsm.outcomes import NewBlock
from panda_fsm.trouble import fingerprint

Row = dict[str, Any]


def as_json(rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> str:
    """All rows of a statement as one parameter (ADR 0006)."""
    return orjson.dumps(rows).decode()


_KINDS = 10_000
"""Kinds of jobs whose times are remembered: labels and priorities are few."""
_RUNNING = State.RUNNING.value
_FINAL = frozenset(state.value for state in FINAL)
_PILOT_GONE = frozenset(state.value for state in in_phases(Phase.POST_PROCESSING, Phase.FINAL))
"""By their values, which are found several times faster than the states."""


class Timetable:
    """The times of jobs by state and kind as this installation sets them, worked out once: every row asks for them."""

    def __init__(self, limits: Limits, archive_after_s: float) -> None:
        @lru_cache(maxsize=_KINDS)
        def times(state: str, kind: Kind) -> Span:
            return span(limits, State(state), kind, archive_after_s)

        self._times = times

    def job(self, owner: str, trigger: Trigger, draft: JobDraft) -> Row:
        """A new job's hot columns."""
        state = JOB.birth(trigger).destination
        times = self._times(state.value, draft.kind)
        row = draft.model_dump(exclude={"spec", "files", "user", "upstream"})
        return row | {
            "user_name": draft.user, "owner": owner, "state": state.value, "deadline_s": times.deadline_s,
            "look_s": times.look_s,
        }  # fmt: skip

    def moves(self, effects: Effects) -> list[Row]:
        """Jobs that changed. A step, or a heartbeat where those count, moves the deadline; a final job's is its
        appointment with the archive."""
        now = datetime.now(UTC)
        return [self._move(row, effects.subjects[job_id], now) for job_id, row in effects.jobs.items()]

    def _move(self, row: Row, job: Job, now: datetime) -> Row:
        state = row["state"]
        moved = row["version"] > row["expected"]
        more: Row = {"started": state == _RUNNING, "ended": state in _PILOT_GONE, "final": state in _FINAL}
        if moved or (row.get("renewed") and job.awaits_last_words):
            times = self._times(state, job.kind)
            more["deadline_s"] = times.deadline_s
            if moved and "look_s" not in row:
                look_s = times.look_s
                if times.age_s < inf:
                    look_s = max(0.0, min(look_s, times.age_s - (now - job.created_at).total_seconds()))
                more["look_s"] = look_s
        return row | more


def upstream(drafts: Sequence[JobDraft]) -> list[Row]:
    """Which jobs the new ones wait for."""
    return [
        {"job_id": draft.job_id, "upstream_id": upstream_id} for draft in drafts for upstream_id in draft.upstream or ()
    ]


def libraries(jobs: Iterable[Job]) -> list[Row]:
    """What they read of build jobs."""
    return [{"job_id": job.job_id, "scope": file.scope, "lfn": file.lfn} for job in jobs for file in job.libraries]


def ended_builds(effects: Effects) -> list[int]:
    """Build jobs that end here."""
    return [
        job_id
        for job_id, job in effects.subjects.items()
        if job.label == BUILD and effects.jobs[job_id]["state"] in _FINAL
    ]


def merged(drafts: Sequence[JobDraft]) -> list[Row]:
    """What the new jobs merge of others of their tasks."""
    return [
        {"job_id": draft.job_id, "vo": draft.vo, "task_id": draft.task_id, "scope": file.scope, "lfn": file.lfn}
        for draft in drafts
        if draft.task_id
        for file in draft.files
        if file.type == "input" and file.place_token == TO_MERGE
    ]


def waiting(effects: Effects) -> list[Row]:
    """Messages that come back by themselves, and when."""
    return [{"message_id": message_id, "seconds": seconds} for message_id, seconds in effects.waiting.items()]


def draft_files(draft: JobDraft) -> Iterator[Row]:
    """A new job's files, numbered as they were sent."""
    for seq, file in enumerate(draft.files):
        yield {"job_id": draft.job_id, "seq": seq, **file.model_dump()}


def blocks(wanted: Iterable[NewBlock]) -> list[Row]:
    """Data blocks to create."""
    return [
        {"name": b.name, "kind": b.kind, "parent": b.parent, "vo": b.vo, "task_id": b.task_id, "source": b.source,
         "destination": b.destination, "closes": b.closes}
        for b in wanted
    ]  # fmt: skip


def files(effects: Effects) -> list[Row]:
    """Files to change."""
    return [
        {"job_id": job_id, "seq": seq, "status": c.status, "block": c.block, "guid": c.guid, "size": c.size,
         "checksum": c.checksum, "destination": c.destination}
        for (job_id, seq), c in effects.files.items()
    ]  # fmt: skip


def new_files(effects: Effects) -> list[Row]:
    """Files that get a name, or come into being with one."""
    return [
        {"job_id": job_id, "seq": seq, "like": new.like, "lfn": new.lfn}
        for (job_id, seq), new in effects.new_files.items()
    ]


def samples(effects: Effects) -> list[Row]:
    """How payloads do."""
    return [{"job_id": job_id, **taken} for job_id, taken in effects.samples.items()]


def shown(effects: Effects) -> list[Row]:
    """What pilots show of their jobs, and say of their outputs."""
    told = effects.stdout, effects.metadata
    return [
        {"job_id": job_id, "stdout": told[0].get(job_id), "metadata": told[1].get(job_id)}
        for job_id in sorted(told[0].keys() | told[1].keys())
    ]


def history(effects: Effects, transitions: Mapping[tuple[str, str | None], int]) -> list[Row]:
    """Transitions, by the ids that job_transition has for them. Raises SystemicError for one it does not know."""
    try:
        return [
            {
                "job_id": h.job_id,
                "version": h.version,
                "transition_id": transitions[(h.step.trigger, h.step.source)],
                "message_id": h.message_id,
                "detail": h.detail,
            }
            for h in effects.history
        ]
    except KeyError as error:
        raise SystemicError(f"the database does not know the step {error}: run panda-fsm migrate") from None


def jedi(effects: Effects) -> list[Row]:
    """What JEDI is to be told of its jobs."""
    return [
        {"vo": m.vo, "task_id": m.task_id, "job_id": m.job_id, "version": m.version, "state": m.state, "prev": m.before,
         "body": None if m.gshare is None else {"gshare": m.gshare}}
        for m in effects.jedi.values()
    ]  # fmt: skip


def counts(effects: Effects) -> list[Row]:
    """What the steps add up to, per state, site and VO."""
    return [{"state": s, "site": site, "vo": vo, "jobs": n} for (s, site, vo), n in effects.counts.items() if n]


def pauses(effects: Effects) -> list[Row]:
    """What is paused and resumed; of each the newest word."""
    newest: dict[tuple[str, str], Row] = {}
    for said in sorted(effects.pauses, key=lambda one: one.message_id):
        newest[said.kind, said.name] = said.model_dump(
            mode="json", include={"kind", "name", "is_paused", "actor", "reason", "until", "message_id"}
        )
    return list(newest.values())


def repeated(effects: Effects) -> list[Row]:
    """What came about jobs and changed nothing."""
    return [{"job_id": job_id, "what": what, "times": n} for (job_id, what), n in sorted(effects.repeated.items())]


def outbox(outgoing: Sequence[Outgoing]) -> list[Row]:
    """Messages to send."""
    return [
        {"message_id": m.message_id, "exchange": m.exchange, "routing_key": m.routing_key, "body": m.body.decode(),
         "headers": m.headers}
        for m in outgoing
    ]  # fmt: skip


def dead_letter(letter: DeadLetter) -> Row:
    """A letter's row; its fingerprint groups those that died alike."""
    return {
        "queue": _storable(letter.queue),
        "exchange": _storable(letter.exchange),
        "routing_key": _storable(letter.routing_key),
        "payload": letter.payload,
        "headers": as_json({_storable(key): _storable(str(value)) for key, value in letter.headers.items()}),
        "reason": _storable(letter.reason)[:2000],
        "error": letter.error and _storable(letter.error),
        "fingerprint": fingerprint(letter.queue, letter.reason),
        "replay_of": letter.replay_of,
    }


def _storable(text: str) -> str:
    """PostgreSQL takes neither NUL nor half a surrogate pair; a dead letter may hold either."""
    return text.replace("\x00", "\\0").encode(errors="backslashreplace").decode()
