"""One batch of deliveries → one transaction → confirmed messages. The only place where order matters."""

import contextlib
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from panda_fsm.effects import DeadLetter, Effects, Outgoing
from panda_fsm.errors import PoisonError, TooSlowError, TransientError
from panda_fsm.events import KEPT_REQUESTS, AnyMessage, FilesArrived, FilesFailed, decode, new_message_id
from panda_fsm.handler import Delivery, Item, Service
from panda_fsm.job import Job
from panda_fsm.lifecycle import Ignored
from panda_fsm.outcomes import (
    Advance,
    CloseBlocks,
    Create,
    Emit,
    Ignore,
    Outcome,
    Record,
    Reject,
    Wait,
)
from panda_fsm.ports import Publisher, Store
from panda_fsm.states import State

DELAYS_S = (1, 10, 60)
"""The delay queues there are; the n-th retry of a message waits the n-th of them, later ones the last."""
UNKNOWN_TRIES = 2
"""An unknown job may be one whose creation is still in a queue: worth a few seconds, not more."""

SLOW_TRIES = 3

log = structlog.get_logger()


@dataclass(slots=True)
class Received:
    """A decoded delivery and the jobs it is about; None: the block it names is unknown."""

    delivery: Delivery
    message: AnyMessage
    job_ids: Sequence[int] | None


class Processor:
    """Handles batches for one service. Any number of processes may do so at once."""

    def __init__(
        self,
        service: Service,
        store: Store,
        publisher: Publisher,
        deadline_s: Callable[[State], int | None],
        confirm_timeout_s: float,
    ) -> None:
        self._service = service
        self._store = store
        self._publisher = publisher
        self._deadline_s = deadline_s
        self._confirm_timeout_s = confirm_timeout_s
        self._slow: Counter[bytes] = Counter()
        self._getting_on = True

    def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Handle all; when it returns, every delivery may be acknowledged. Raises TransientError: nothing decided.

        A failure that is not transient is bisected until the guilty message stands alone among the dead letters.
        """
        try:
            self._handle_all(deliveries)
        except Exception as error:
            if len(deliveries) == 1 and self._is_guilty(deliveries[0], error):
                self._bury(deliveries[0], error)
                return
            if len(deliveries) == 1 or (isinstance(error, TransientError) and not isinstance(error, TooSlowError)):
                raise
            log.warning("batch_bisected", size=len(deliveries), error=repr(error))
            self._bisect(deliveries)

    def _handle_all(self, deliveries: Sequence[Delivery]) -> None:
        left = deliveries
        while left:  # messages whose job moved while outside systems were asked are decided again
            left = self._handle_once(left)
        self._getting_on = True
        for delivery in deliveries if self._slow else ():
            self._slow.pop(delivery.body, None)

    def _bisect(self, deliveries: Sequence[Delivery]) -> None:
        """Both halves have their turn, whichever is too slow."""
        middle = len(deliveries) // 2
        too_slow: TooSlowError | None = None
        for half in (deliveries[:middle], deliveries[middle:]):
            try:
                self.handle(half)
            except TooSlowError as error:
                too_slow = error
        if too_slow is not None:
            raise too_slow

    def _is_guilty(self, delivery: Delivery, error: Exception) -> bool:
        """Whether to stop trying. A lone message that is too slow time and again would block its queue for ever.

        A slow try counts only when others were handled since the last one: else it is the database that is slow.
        """
        if not isinstance(error, TransientError):
            return True
        if isinstance(error, TooSlowError) and self._getting_on:
            self._getting_on = False
            self._slow[delivery.body] += 1
        return isinstance(error, TooSlowError) and self._slow[delivery.body] >= SLOW_TRIES

    def _handle_once(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        effects = Effects(self._deadline_s)
        received = self._receive(deliveries, effects)
        commit = self._commit_optimistic if self._service.asks_outside else self._commit_locked
        stale = commit(received, effects)
        self._publish(effects.outgoing)
        return stale

    def _receive(self, deliveries: Sequence[Delivery], effects: Effects) -> list[Received]:
        """Decode and find the jobs concerned; what cannot be decoded goes to the dead letters."""
        received = []
        of_blocks = []
        for delivery in deliveries:
            try:
                message = decode(delivery.body)
            except PoisonError as error:
                effects.dead_letters.append(_dead_letter(delivery, str(error)))
                continue
            received.append(Received(delivery, message, message.job_ids))
            if isinstance(message, FilesArrived | FilesFailed):
                of_blocks.append((received[-1], (message.block, message.lfns)))
        if of_blocks:
            found = self._store.jobs_of_blocks([files for _, files in of_blocks])
            for (each, _), job_ids in zip(of_blocks, found, strict=True):
                each.job_ids = job_ids
        return received

    def _commit_locked(self, received: list[Received], effects: Effects) -> list[Delivery]:
        """Read, decide and write in one transaction, with the jobs locked."""
        with self._store.transaction() as tx:
            job_ids = self._wanted(received)
            service = self._service
            jobs = tx.load_locked(job_ids, service.needs_files, service.needs_report) if job_ids else {}
            self._decide(self._bind(received, jobs, effects), effects)
            self._note_handled(received, effects)
            tx.write(effects)
        return []

    def _commit_optimistic(self, received: list[Received], effects: Effects) -> list[Delivery]:
        """Read, ask outside, then lock and write; returns the messages whose jobs moved meanwhile."""
        job_ids = self._wanted(received)
        service = self._service
        jobs = self._store.load(job_ids, service.needs_files, service.needs_report) if job_ids else {}
        items = self._bind(received, jobs, effects)
        service.prepare(items)
        with self._store.transaction() as tx:
            versions = tx.lock_versions(sorted(jobs)) if jobs else {}
            moved = {i for i, job in jobs.items() if versions.get(i) != (job.stored_version, job.verdict)}
            stale = {i.delivery.tag: i.delivery for i in items if i.job is not None and i.job.job_id in moved}
            self._decide([item for item in items if item.delivery.tag not in stale], effects)
            self._note_handled([r for r in received if r.delivery.tag not in stale], effects)
            tx.write(effects)
        return list(stale.values())

    @staticmethod
    def _note_handled(received: Sequence[Received], effects: Effects) -> None:
        """Accepted requests are kept in the database until here; those that wait are not handled yet."""
        effects.handled = {r.message.message_id for r in received if isinstance(r.message, KEPT_REQUESTS)}
        effects.handled -= effects.waiting

    def _wanted(self, received: Sequence[Received]) -> list[int]:
        if not self._service.needs_jobs:
            return []
        return sorted({job_id for r in received for job_id in r.job_ids or ()})

    def _bind(self, received: Sequence[Received], jobs: dict[int, Job], effects: Effects) -> list[Item]:
        """One item per message and job. Jobs that are archived are past caring; unknown ones may be on their way."""
        if not self._service.needs_jobs:
            return [Item(r.delivery, r.message, None) for r in received]
        missing = [job_id for job_id in self._wanted(received) if job_id not in jobs]
        archived = self._store.archived(missing) if missing else set()
        items = []
        for r in received:
            unknown = sorted(set(r.job_ids or ()) - jobs.keys() - archived)
            if r.job_ids is None or unknown:
                what = f"unknown job {unknown[0]}" if unknown else "unknown block"
                self._wait(r.delivery, Wait(what, UNKNOWN_TRIES), effects, r.message.message_id)
            elif not r.job_ids and not isinstance(r.message, FilesArrived | FilesFailed):
                items.append(Item(r.delivery, r.message, None))
            items += [Item(r.delivery, r.message, jobs[i]) for i in r.job_ids or () if i in jobs]
        return items

    def _decide(self, items: Sequence[Item], effects: Effects) -> None:
        for item in items:
            try:
                self._fold(item, self._service.decide(item), effects)
            except PoisonError as error:
                effects.dead_letters.append(_dead_letter(item.delivery, str(error)))

    def _fold(self, item: Item, outcome: Outcome, effects: Effects) -> None:
        """Turn one outcome into effects, in memory."""
        match outcome, item.job:
            case Advance(trigger, changes, detail), Job() as job:
                step = effects.step(job, trigger, item.message.message_id, detail)
                if isinstance(step, Ignored):
                    log.debug("ignored", job_id=job.job_id, trigger=trigger.value, state=job.state.value)
                else:
                    effects.record(job, changes)
            case Record(changes), Job() as job:
                effects.record(job, changes)
            case Create(trigger, owner, drafts), _:
                effects.inbox.add(item.message.message_id)
                for draft in drafts:
                    effects.created.append((owner, trigger, draft, item.message.message_id))
            case CloseBlocks(job_id), _:
                effects.close_blocks_of.add(job_id)
            case Emit(messages), _:
                for message in messages:
                    effects.send(message)
            case Ignore(reason), _:
                log.debug("ignored", message_id=item.message.message_id, reason=reason)
            case Wait() as wait, _:
                self._wait(item.delivery, wait, effects, item.message.message_id)
            case Reject(reason), _:
                effects.dead_letters.append(_dead_letter(item.delivery, reason))
            case _:
                raise TypeError(f"{outcome!r} needs a job")

    def _wait(self, delivery: Delivery, wait: Wait, effects: Effects, message_id: str) -> None:
        """Send the message through a delay queue, or to the dead letters when it waited often enough."""
        if delivery.retries >= wait.tries:
            effects.dead_letters.append(_dead_letter(delivery, f"{wait.reason} (after {delivery.retries} tries)"))
            return
        effects.waiting.add(message_id)
        delay = DELAYS_S[min(delivery.retries, len(DELAYS_S) - 1)]
        headers = {"retries": delivery.retries + 1, "key": delivery.routing_key, "reason": wait.reason}
        effects.outgoing.append(
            Outgoing(new_message_id(), f"panda.delay.{delay}", delivery.queue, delivery.body, headers)
        )

    def _publish(self, outgoing: Sequence[Outgoing]) -> None:
        """Publish what was committed. What the broker does not confirm now stays in the outbox for the relay."""
        if outgoing:
            confirmed = self._publisher.publish(outgoing, self._confirm_timeout_s)
            if len(confirmed) < len(outgoing):
                log.warning("left_to_relay", messages=len(outgoing) - len(confirmed))
            if confirmed:
                with contextlib.suppress(TransientError):  # all is committed; the relay publishes again, harmlessly
                    self._store.forget_published([message.message_id for message in confirmed])

    def _bury(self, delivery: Delivery, error: Exception) -> None:
        """A bug or an unforeseen value: keep the message with its traceback instead of blocking the queue."""
        log.error("dead_letter", queue=delivery.queue, error=repr(error))
        self._slow.pop(delivery.body, None)
        effects = Effects(self._deadline_s)
        trace = "".join(traceback.format_exception(error))
        effects.dead_letters.append(_dead_letter(delivery, f"{type(error).__name__}: {error}", trace))
        with contextlib.suppress(PoisonError):
            effects.handled.add(decode(delivery.body).message_id)  # it is kept here now
        with self._store.transaction() as tx:
            tx.write(effects)


def _dead_letter(delivery: Delivery, reason: str, error: str | None = None) -> DeadLetter:
    return DeadLetter(
        delivery.queue, delivery.exchange, delivery.routing_key, delivery.body, delivery.headers or {}, reason, error
    )
