"""One batch of deliveries → one transaction → confirmed messages. The only place where order matters."""

import contextlib
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

import structlog

from engine.blame import Blame
from engine.counting import Counted, handled
from engine.fold import fold, put_off, to_dead_letter
from engine.following import followed
from engine.receive import (
    Received,
    bind,
    put_aside,
    put_off_locked,
    receive,
    wanted,
    without_held,
    without_jobs,
    without_repeats,
)
from engine.refused import BlocksRefusedError, Closed, refuse_blocks
from panda_fsm.effects import Effects
from panda_fsm.errors import PoisonError, TransientError, told
from panda_fsm.handler import Delivery, Item, Service
from panda_fsm.jobs.job import Job
from panda_fsm.log_ids import few
from panda_fsm.messages import KEPT_REQUESTS, cut, id_of
from panda_fsm.outcomes import Defer
from panda_fsm.ports import Publisher, Store, Transaction
from panda_fsm.spans import publish
from panda_fsm.trouble import (
    DOUBTED_FOR_S,
    IN_A_ROW,
    KILLER_AFTER,
    LOCKED_FOR_S,
    NEWBORN_S,
    SHOWN_FOR_S,
    SLOW_FOR_S,
    SUSPECT_FOR_S,
    Condition,
    Kind,
    kind_of,
)

log = structlog.get_logger()

_NAMELESS = Defer("its plugin chooses closed blocks again and again", 60.0)


class Processor:
    """Handles batches for one service. Any number of processes may do so at once."""

    def __init__(
        self,
        service: Service[Any],
        store: Store,
        publisher: Publisher,
        confirm_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
        condition: Condition | None = None,
        queue: str = "",
        log_steps: bool = False,
    ) -> None:
        self._service = service
        self._store = store
        self._publisher = publisher
        self._confirm_timeout_s = confirm_timeout_s
        self._clock = clock
        self._born = clock()
        self._condition = condition or Condition()
        self._blame = Blame(clock)
        self._queue = queue or service.name
        self._counted = Counted(self._queue, self._blame, log_steps)
        self._probes = 0
        self._held = 0
        self._asked: Sequence[Item[Any]] = ()

    def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Handle all; when it returns, every delivery may be acknowledged. Raises TransientError: nothing is lost.

        What fails without a transient cause is bisected until the guilty message stands alone. It is tried again for a
        while and then buried; but when many in a row fail alike, none is to blame, and SystemicError says stop.
        """
        self._held = 0
        with self._counted.batch(len(deliveries)):
            self._handle(self._probed(deliveries) if self._blame.is_open else deliveries)

    def _probed(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Try one message, each time another, and return the others: a success says that the system works again."""
        self._probes += 1
        one = self._probes % len(deliveries)
        self._handle([deliveries[one]])
        return [*deliveries[:one], *deliveries[one + 1 :]]

    def _handle(self, deliveries: Sequence[Delivery]) -> None:
        if len(deliveries) == 1 and self._may_kill(deliveries[0]):
            self._bury(deliveries[0], f"handed out {deliveries[0].deliveries} times, and each time the process ended")
            return
        if self._held >= IN_A_ROW:  # each would wait for its lock, and the batch for all of them
            self._put_off(deliveries, "somebody holds the rows of many before it", soon=True)
            return
        try:
            self._handle_all(deliveries)
        except Exception as error:
            kind = kind_of(error)
            if kind in (Kind.TRANSIENT, Kind.SYSTEMIC):
                raise
            if len(deliveries) == 1:
                self._judge(deliveries[0], error, kind)
                return
            ids = few(filter(None, map(id_of, (one.body for one in deliveries))))
            log.warning("batch_bisected", size=len(deliveries), error=repr(error), message_ids=ids)
            middle = len(deliveries) // 2
            self._handle(deliveries[:middle])
            self._handle(deliveries[middle:])

    def _may_kill(self, delivery: Delivery) -> bool:
        """Whether handling it is what ended this process again and again."""
        return delivery.deliveries >= KILLER_AFTER and self._clock() - self._born < NEWBORN_S

    def _judge(self, delivery: Delivery, error: Exception, kind: Kind) -> None:
        """A lone message that fails: put off for a while, then buried with the traceback."""
        if kind in (Kind.POISON, Kind.UNEXPECTED) and self._is_an_answers_fault(delivery, error):
            return
        if kind is Kind.HELD:
            self._held += 1
            self._put_off([delivery], told(error), LOCKED_FOR_S)
            return
        if kind is Kind.POISON:
            if self._blame.doubts(delivery.body, str(error)):
                self._put_off([delivery], str(error), DOUBTED_FOR_S)
            else:
                self._bury(delivery, str(error), error)
            return
        self._blame.unforeseen(delivery.body, told(error))
        if self._blame.is_guilty(delivery, SLOW_FOR_S if kind is Kind.SLOW else SUSPECT_FOR_S):
            self._bury(delivery, told(error), error)
        else:
            self._put_off([delivery], told(error))

    def _is_an_answers_fault(self, delivery: Delivery, error: Exception) -> bool:
        """Whether it can be handled without what was answered outside: then neither it nor the system is to blame."""
        job = self._asked[0].job if self._asked else None
        if job is None or not self._service.mistrust(job, told(error)):
            return False
        try:
            self._handle_all([delivery])
        except Exception as again:
            if kind_of(again) in (Kind.TRANSIENT, Kind.SYSTEMIC):
                raise
            return False
        log.warning("answer_not_written", job_id=job.job_id, error=told(error))
        self._service.accuse(job, told(error))
        self._blame.succeeded()
        return True

    def _put_off(self, deliveries: Sequence[Delivery], why: str, give_up_s: float = inf, *, soon: bool = False) -> None:
        effects = Effects()
        for delivery in deliveries:
            put_off(delivery, why, effects, give_up_s, message_id=id_of(delivery.body) or "", soon=soon)
        # What waited for too long is kept among the dead letters now.
        effects.handled |= {one for letter in effects.dead_letters if (one := id_of(letter.payload)) is not None}
        with self._store.transaction() as tx:
            tx.write(effects)
        self._counted.committed(effects)
        self._publish(effects)

    def _handle_all(self, deliveries: Sequence[Delivery]) -> None:
        left: Sequence[Delivery] = deliveries
        closed = Closed()
        while left:  # messages whose job moved while outside systems were asked are decided again
            try:
                left = self._handle_once(left, closed)
            except BlocksRefusedError as error:
                closed.note(error)

    def _handle_once(self, deliveries: Sequence[Delivery], closed: Closed) -> list[Delivery]:
        effects = Effects()
        self._asked = ()
        received, unreadable = receive(deliveries, self._service, self._store)
        if unreadable:
            self._note(put_aside(unreadable, self._store, effects, buries=self._service.buries))
        commit = self._commit_optimistic if self._service.asks_outside else self._commit_locked
        with followed(received, effects):
            stale = commit(received, effects, closed)
        done = handled(received, effects) - len(stale)
        if self._service.buries or done > 0:
            self._blame.succeeded()
        self._counted.committed(effects, received, done)
        self._publish(effects)
        return stale

    def _note(self, waits_for: str | None) -> None:
        """Show for a while what messages wait for that is not theirs to bring."""
        if waits_for is not None:
            self._condition.note("messages that wait", cut(waits_for), SHOWN_FOR_S)

    def _commit_locked(self, received: list[Received], effects: Effects, _closed: Closed) -> list[Delivery]:
        """Lock the jobs, decide, write: one transaction, no second thoughts."""
        service = self._service
        job_ids = wanted(received) if service.needs_jobs else []
        with self._store.transaction() as tx:
            jobs = tx.load_locked(job_ids, service.needs_files, service.needs_report) if job_ids else {}
            items = bind(received, jobs, self._store, effects) if service.needs_jobs else without_jobs(received)
            service.prepare(items)
            self._decide(without_repeats(items, tx), effects, Closed())
            self._write(tx, received, effects)
        return []

    def _commit_optimistic(self, received: list[Received], effects: Effects, closed: Closed) -> list[Delivery]:
        """Read, ask outside, then lock and write; returns the messages whose jobs moved meanwhile."""
        service = self._service
        job_ids = wanted(received) if service.needs_jobs else []
        jobs = self._store.load(job_ids, service.needs_files, service.needs_report) if job_ids else {}
        for job_id in closed.names.keys() & jobs.keys():
            jobs[job_id].closed_blocks, jobs[job_id].foreign_blocks = closed.names[job_id], closed.foreign[job_id]
        items = bind(received, jobs, self._store, effects) if service.needs_jobs else without_jobs(received)
        if closed.held:
            items = without_held(items, closed.held, effects)
        service.prepare(items)
        self._asked = items
        with self._store.transaction() as tx:
            stale, items = self._still_there(tx, jobs, items, effects)
            self._decide(without_repeats(items, tx), effects, closed)
            refuse_blocks(tx, effects)
            self._write(tx, [r for r in received if r.delivery.tag not in stale], effects)
        return list(stale.values())

    def _write(self, tx: Transaction, received: Sequence[Received], effects: Effects) -> None:
        """Accepted requests are kept in the database until here; those that wait are not handled yet."""
        if effects.dead_letters and not self._service.buries and not handled(received, effects):
            self._doubt(effects)
        effects.handled |= {r.message.message_id for r in received if isinstance(r.message, KEPT_REQUESTS)}
        effects.handled.difference_update(effects.waiting)
        tx.write(effects)

    def _doubt(self, effects: Effects) -> None:
        """Nothing but letters to bury: where too many of them are alike, all wait for who mends the cause."""
        untried = [(one.untried, one.reason) for one in effects.dead_letters if one.untried is not None]
        if not any(self._blame.doubts(delivery.body, reason) for delivery, reason in untried):
            return
        self._note(untried[0][1])
        effects.dead_letters = [letter for letter in effects.dead_letters if letter.untried is None]
        for delivery, reason in untried:
            put_off(delivery, reason, effects, DOUBTED_FOR_S, message_id=id_of(delivery.body) or "")

    def _still_there(
        self, tx: Transaction, jobs: Mapping[int, Job], items: Sequence[Item[Any]], effects: Effects
    ) -> tuple[dict[int, Delivery], list[Item[Any]]]:
        """Lock the jobs. What moved meanwhile is decided again, what others hold waits, the rest is decided now."""
        versions = tx.lock_versions(sorted(jobs)) if jobs else {}
        missing = jobs.keys() - versions.keys()
        locked = self._store.live(sorted(missing)) if missing else set()
        moved = {i for i, job in jobs.items() if i not in locked and versions.get(i) != (job.version, job.verdict)}
        stale = {i.delivery.tag: i.delivery for i in items if i.job is not None and i.job.job_id in moved}
        left = []
        for item in items:
            if item.job is not None and item.job.job_id in locked and item.delivery.tag not in stale:
                put_off_locked(item.delivery, item.message.message_id, effects)
            elif item.delivery.tag not in stale:
                left.append(item)
        return stale, left

    def _decide(self, items: Sequence[Item[Any]], effects: Effects, closed: Closed) -> None:
        for item in items:
            try:
                fold(item, _NAMELESS if closed.is_nameless(item.job) else self._service.decide(item), effects)
            except PoisonError as error:
                effects.dead_letters.append(to_dead_letter(item.delivery, str(error), is_tried=False))

    def _publish(self, effects: Effects) -> None:
        """Publish what was committed. What the broker does not confirm now stays in the outbox for the relay."""
        if not effects.outgoing:
            return
        confirmed = publish(self._publisher, effects.outgoing, self._confirm_timeout_s, self._queue).confirmed
        if len(confirmed) < len(effects.outgoing):
            self._counted.left(effects.outgoing, confirmed)
        if confirmed:
            with contextlib.suppress(TransientError):  # all is committed; the relay publishes again, harmlessly
                self._store.forget_published([message.message_id for message in confirmed])

    def _bury(self, delivery: Delivery, reason: str, error: Exception | None = None) -> None:
        """Keep the message with its reason and traceback instead of blocking the queue."""
        effects = Effects()
        trace = "".join(traceback.format_exception(error)) if error else None
        effects.dead_letters.append(to_dead_letter(delivery, reason, trace))
        message_id = id_of(delivery.body)
        if message_id is not None:
            effects.handled.add(message_id)  # it is kept here now
        with self._store.transaction() as tx:
            tx.write(effects)
        self._counted.committed(effects)
