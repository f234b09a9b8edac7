"""Folds outcomes into effects, in memory: what one transaction will write of each decision of a batch."""

import time
from collections.abc import Sequence
from typing import Any

import structlog

from panda_fsm import delays
from panda_fsm.answers import Answer
from panda_fsm.effects import Effects, Outgoing
from panda_fsm.handler import REPLAY_OF, SENDER, DeadLetter, Delivery, Item
from panda_fsm.jobs.job import Job
from panda_fsm.machine import Ignored
from panda_fsm.messages import Message, cut, new_message_id
from panda_fsm.outcomes import (
    Advance,
    CloseBlocks,
    Create,
    Defer,
    Emit,
    Hold,
    Ignore,
    MoveBlock,
    Outcome,
    Pause,
    Record,
    Reject,
    Wait,
)
from panda_fsm.tracing import TRACING, carried

log = structlog.get_logger()


def fold(item: Item[Any], outcome: Outcome, effects: Effects) -> None:
    """Note what `outcome` writes. Raises IllegalTransitionError for a step that the table does not have."""
    cause = item.message.message_id
    match outcome, item.job:
        case Advance(trigger, changes, detail), Job() as job:
            if isinstance(effects.step(job, trigger, cause, detail), Ignored):
                _ignore(item, effects, trigger=trigger.value, state=job.state.value)
            else:
                effects.record(job, changes)
        case Record(changes, renews), Job() as job:
            effects.record(job, changes, renews)
        case Defer(reason, after_s, changes), Job() as job:
            effects.record(job, changes)
            effects.defer(job, reason, after_s)
        case Create(trigger, owner, drafts), _:
            effects.inbox.add(cause)
            effects.created += [(owner, trigger, draft, cause) for draft in drafts]
        case CloseBlocks() as closing, _:
            _close(closing, effects)
        case MoveBlock(block, trigger), _:
            effects.moved_blocks[trigger].add(block)
        case Emit(messages), _:
            _send(messages, effects)
        case Pause(request), _:
            effects.pauses.append(request)
        case Hold(task), _:
            effects.holds.append((cause, task))
        case Ignore(reason), _:
            _ignore(item, effects, reason=reason)
        case Wait(reason, give_up_s, messages), _:
            _send(messages, effects)
            put_off(item.delivery, reason, effects, give_up_s, message_id=cause)
        case Reject(reason), _:
            effects.dead_letters.append(to_dead_letter(item.delivery, reason, is_tried=False))
        case Answer() as answer, _:
            _answer(item, answer, effects)
        case _:
            raise TypeError(f"{outcome!r} needs a job")


def _close(closing: CloseBlocks, effects: Effects) -> None:
    if closing.job_id is not None:
        effects.close_blocks_of.add(closing.job_id)
    if closing.block:
        effects.close_blocks.add(closing.block)


def _ignore(item: Item[Any], effects: Effects, **what: Any) -> None:
    effects.ignored += 1
    job_id = None if item.job is None else item.job.job_id
    if job_id is not None:
        effects.repeated[job_id, item.message.routing_key] += 1
    log.debug("ignored", message_id=item.message.message_id, job_id=job_id, **what)


def _send(messages: Sequence[Message], effects: Effects) -> None:
    for message in messages:
        effects.send(message)


def _answer(item: Item[Any], answer: Answer, effects: Effects) -> None:
    """What is asked of other services leaves as all messages do, and is kept until they have done it."""
    if answer.refusal is not None:  # told to who sent it, and right to be: no doubt
        effects.dead_letters.append(to_dead_letter(item.delivery, answer.refusal))
    effects.answers.append(answer)
    if answer.deed.jobs is not None:
        trigger, owner, drafts = answer.deed.jobs
        effects.created += [(owner, trigger, draft, item.message.message_id) for draft in drafts]
    if answer.noted is not None and answer.deed.hold is not None:
        effects.holds.append((None, answer.deed.hold))
    requests = [Outgoing.of(message) for message in answer.deed.requests]
    effects.kept += requests
    effects.outgoing += requests
    if answer.reply is not None:
        reply = answer.reply
        effects.outgoing.append(Outgoing(new_message_id(), "", reply.queue, reply.body, TRACING.headers()))


def put_off(
    delivery: Delivery,
    reason: str,
    effects: Effects,
    give_up_s: float = float("inf"),
    *,
    message_id: str = "",
    soon: bool = False,
) -> None:
    """Send the message through a delay queue, or to the dead letters when it has waited for too long.

    The delays grow, unless it is wanted `soon`. A request that waits is not handled yet, so it stays kept. It waits
    once, whatever it waits for and however often it came: copies would only grow in number.
    """
    if message_id in effects.waiting:
        return
    if delivery.waited_s >= give_up_s:
        effects.dead_letters.append(to_dead_letter(delivery, f"{reason} (waited {delivery.waited_s:.0f} s)"))
        return
    seconds = delays.after(0 if soon else delivery.retries)
    if message_id:
        effects.waiting[message_id] = seconds
    headers: dict[str, Any] = {
        "retries": delivery.retries + 1,
        "waiting_since": str(time.time() if delivery.waiting_since is None else delivery.waiting_since),
        "key": delivery.routing_key,
        "reason": cut(reason),
    }
    body, how = delays.as_text(delivery.body)
    headers |= delivery.sender | how | carried(delivery.headers)
    if delivery.replay_of is not None:
        headers[REPLAY_OF] = str(delivery.replay_of)
    effects.outgoing.append(Outgoing(new_message_id(), delays.exchange(seconds), delivery.queue, body, headers))


def to_dead_letter(delivery: Delivery, reason: str, error: str | None = None, *, is_tried: bool = True) -> DeadLetter:
    """The message with all that is needed to understand and replay it. Of its sender only the broker is believed."""
    headers = {name: value for name, value in (delivery.headers or {}).items() if name not in SENDER}
    headers |= delivery.sender
    return DeadLetter(
        delivery.queue, delivery.exchange, delivery.routing_key, delivery.body, headers, reason, error,
        None if is_tried else delivery, delivery.replay_of,
    )  # fmt: skip
