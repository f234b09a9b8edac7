"""The rows that a batch's effects become, statement by statement; names are those of the SQL column lists."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from panda_fsm.drafts import JobDraft
from panda_fsm.effects import DeadLetter, Effects
from panda_fsm.lifecycle import Trigger, birth
from panda_fsm.states import FINAL, State

Row = dict[str, Any]
_RENEWED = {State.STARTING.value, State.RUNNING.value, State.HOLDING.value}
"""Being heard of renews the deadline in these states; in all others it counts from entry."""
_ENDING = {State.HOLDING.value, *(state.value for state in FINAL)}


def as_json(rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> str:
    """All rows of a statement as one parameter (ADR 0006)."""
    return orjson.dumps(rows).decode()


def job(owner: str, trigger: Trigger, draft: JobDraft, deadline_s: Callable[[State], int | None]) -> Row:
    """A new job's hot columns."""
    state = birth(trigger).destination
    row = draft.model_dump(exclude={"spec", "files", "special_handling", "user"})
    return row | {"user_name": draft.user, "owner": owner, "state": state.value, "deadline_s": deadline_s(state)}


def draft_files(draft: JobDraft) -> Iterator[Row]:
    """A new job's files, numbered as they were sent."""
    for seq, file in enumerate(draft.files):
        yield {"job_id": draft.job_id, "seq": seq, **file.model_dump()}


def moves(effects: Effects, archive_after_s: float) -> list[Row]:
    """Jobs that changed. A final job's deadline is its appointment with the archive."""
    found = []
    for row in effects.jobs.values():
        state = row["state"]
        seconds = effects.deadline_s(State(state))
        renewed = row["version"] > row["expected"] or state in _RENEWED
        found.append(
            row
            | {
                "deadline_s": (archive_after_s if seconds is None else seconds) if renewed else None,
                "started": state == State.RUNNING.value,
                "ended": state in _ENDING,
            }
        )
    return found


def blocks(effects: Effects) -> list[Row]:
    """Data blocks to create."""
    return [
        {"name": b.name, "kind": b.kind, "parent": b.parent, "vo": b.vo, "task_id": b.task_id, "source": b.source,
         "destination": b.destination}
        for b in effects.blocks.values()
    ]  # fmt: skip


def files(effects: Effects) -> list[Row]:
    """Files to change."""
    return [
        {"job_id": job_id, "seq": seq, "status": c.status, "block": c.block, "guid": c.guid, "size": c.size,
         "checksum": c.checksum}
        for (job_id, seq), c in effects.files.items()
    ]  # fmt: skip


def history(effects: Effects, transitions: Mapping[tuple[str, str | None], int]) -> list[Row]:
    """Transitions, by the ids that job_transition has for them."""
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


def counts(effects: Effects) -> list[Row]:
    """What the steps add up to, per state, site and VO."""
    return [{"state": s, "site": site, "vo": vo, "jobs": n} for (s, site, vo), n in effects.counts.items() if n]


def outbox(effects: Effects) -> list[Row]:
    """Messages to send."""
    return [
        {"message_id": m.message_id, "exchange": m.exchange, "routing_key": m.routing_key, "body": m.body.decode(),
         "headers": m.headers}
        for m in effects.outgoing
    ]  # fmt: skip


def dead_letter(letter: DeadLetter) -> Row:
    """The fingerprint groups letters of one cause: the reason without its numbers and ids."""
    cause = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+", "#", letter.reason)
    return {
        "queue": _storable(letter.queue),
        "exchange": _storable(letter.exchange),
        "routing_key": _storable(letter.routing_key),
        "payload": letter.payload,
        "headers": as_json({_storable(key): _storable(str(value)) for key, value in letter.headers.items()}),
        "reason": _storable(letter.reason)[:2000],
        "error": letter.error and _storable(letter.error),
        "fingerprint": hashlib.sha256(f"{letter.queue}:{cause}".encode()).hexdigest()[:16],
    }


def _storable(text: str) -> str:
    """PostgreSQL takes neither NUL nor half a surrogate pair; a dead letter may hold either."""
    return text.replace("\x00", "\\0").encode(errors="backslashreplace").decode()
