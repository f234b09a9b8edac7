"""What a worker writes into its log once a batch is committed: what went wrong, by ids; steps, where that is wanted.

Nothing is written of what went well: the history of a job has it (ADR 0045).
"""

from collections.abc import Sequence
from typing import Any

import structlog

from panda_fsm.effects import Effects
from panda_fsm.log_ids import few, named_in

log = structlog.get_logger()


def went_wrong(effects: Effects) -> None:
    """A line for each message that was buried, and one for all that come again later."""
    for letter in effects.dead_letters:
        log.error("dead_letter", queue=letter.queue, reason=letter.reason, **named_in(letter.payload))
    if effects.waiting:
        reasons = {
            str(sent.headers["reason"]) for sent in effects.outgoing if sent.headers and "reason" in sent.headers
        }
        log.info(
            "put_off", messages=len(effects.waiting), reasons=few(sorted(reasons)), message_ids=few(effects.waiting)
        )


def left(message_ids: Sequence[str]) -> None:
    """Messages that the broker did not confirm now."""
    log.warning("left_to_relay", messages=len(message_ids), message_ids=few(message_ids))


def steps(effects: Effects) -> None:
    """A line a step, as it stands in the history."""
    for row in effects.history:
        said: dict[str, Any] = {"from": row.step.source and row.step.source.value, "to": row.step.destination.value}
        log.info(
            "step", job_id=row.job_id, version=row.version, trigger=row.step.trigger.value, message_id=row.message_id,
            detail=row.detail, **said,
        )  # fmt: skip
