"""The reporter: tells JEDI in order what was written down for it, each message until the broker has it."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from math import inf

import orjson
import structlog

from jedi.held_queues import HeldQueues
from jedi.ports import Statuses, StatusQueues, Window
from jedi.status import body
from panda_fsm.effects import Outgoing
from panda_fsm.errors import told
from panda_fsm.messages import cut
from panda_fsm.ports import Published, Publisher
from panda_fsm.status_queues import queue_of_task
from panda_fsm.statuses import JOB_STATUS, Untold
from panda_fsm.trouble import HOPELESS_FOR_S, Backoff, Breaker, Condition, Kind, kind_of

log = structlog.get_logger()

NAME = "jedi.status"
_TICK_S = 0.1
"""What a service writes down waits for us so long at most. What is told in large windows is cheaper."""
_STAND_BY_S = 1.0
"""Who finds another at work looks so often whether it still is."""
_BACKOFF_S = (0.2, 5.0)
_WINDOW = 500
"""More at once would cost more: fresh memory is dear."""
_DECLARED_FOR_S = 60.0
"""A queue that somebody deleted is not missed as long as others listen too: it is made again after so long."""
_TRIES = 5
"""A message that alone closes the channel, or for which there is no queue though we made it, is given up after so many:
unless others fare alike, for then it is the broker that somebody must mend."""


class Reporter:
    """Any number may run: one tells, others stand by. What cannot be sent, and a queue that takes nothing, hold others
    up only while they are tried."""

    def __init__(
        self,
        statuses: Statuses,
        publisher: Publisher,
        queues: StatusQueues,
        shards: int,
        confirm_timeout_s: float,
        condition: Condition,
    ) -> None:
        self._statuses = statuses
        self._publisher = publisher
        self._queues = queues
        self._shards = shards
        self._confirm_timeout_s = confirm_timeout_s
        self._condition = condition
        self._backoff = Backoff(*_BACKOFF_S)
        self._breaker = Breaker()
        self._window = _WINDOW
        self._held = HeldQueues(shards)
        self._declared: dict[str, float] = {}
        self._tries: dict[int, int] = {}
        self._unmade: dict[str, str] = {}
        self._ending = threading.Event()

    def run(self) -> None:
        """Work until `end`; while the database or the broker is away, keep trying."""
        while not self._ending.is_set():
            self._ending.wait(self._attempt())

    def end(self) -> None:
        """Stop after the window in hand."""
        self._ending.set()

    def _attempt(self) -> float:
        """One window; how long to wait before the next."""
        try:
            with self._statuses.window(self._window, self._held.tasks()) as window:
                pause_s = _STAND_BY_S if window is None else self._report(window)
        except Exception as error:
            foreseen = kind_of(error) is not Kind.UNEXPECTED
            log.warning("waiting", source=NAME, error=str(error), exc_info=not foreseen)
            self._condition.note(NAME, cut(told(error)))
            return self._backoff.next_s()
        self._condition.note(NAME, None)
        return pause_s

    def _report(self, window: Window) -> float:
        if not window.untold:
            return _TICK_S
        # Queue by queue: so the broker confirms many with one word. Between tasks of two queues there is no order.
        sent = sorted(self._held.sendable(window.untold), key=self._queue)
        self._unmade.clear()
        self._declare({one.vo for one in sent})
        messages = [self._message(one) for one in sent]
        published = self._publisher.publish(
            [message for message in messages if message.message_id not in self._unmade], self._confirm_timeout_s
        )
        is_settled = self._settle(window, sent, messages, published)
        return self._adapt(published, len(window.untold), len(messages), is_settled=is_settled)

    def _declare(self, vos: set[str]) -> None:
        """Have queues for these VOs, before the first message to them and from time to time."""
        now = time.monotonic()
        for vo in vos:
            if self._declared.get(vo, -inf) <= now - _DECLARED_FOR_S:
                self._queues.declare(vo)
                self._declared[vo] = now

    def _settle(
        self, window: Window, sent: Sequence[Untold], messages: Sequence[Outgoing], published: Published
    ) -> bool:
        """Of each queue, those before the first that the broker does not have are told, or buried; others come again,
        in order.

        True when that is so of none, or only of queues that are held now.
        """
        confirmed = {message.message_id for message in published.confirmed}
        not_taken = {message.message_id for message in (*published.declined, *published.returned)} | self._unmade.keys()
        told: list[int] = []
        stopped: set[str] = set()
        is_settled = published.lost is None
        for one, message in zip(sent, messages, strict=True):
            queue = self._queue(one)
            if queue in stopped:
                continue
            if message.message_id in confirmed:
                told.append(one.seq)
                self._held.works(queue)
            elif (reason := self._given_up(one, message, published, len(messages) == 1)) is not None:
                log.error("buried", message_id=message.message_id, reason=reason)
                window.bury(one.seq, message, queue, reason)
            else:
                stopped.add(queue)
                is_settled = is_settled and message.message_id in not_taken
                if is_settled:
                    self._held.failed(queue, one)
                continue
            self._tries.pop(one.seq, None)
        window.told(told)
        if told:
            self._breaker.succeeded()
            self._condition.note("publishing", None)
        return is_settled

    def _given_up(self, one: Untold, message: Outgoing, published: Published, is_alone: bool) -> str | None:
        """Why the broker will never take it; None: it may."""
        if message.message_id in published.refused:
            return published.refused[message.message_id]
        if message in published.returned:
            self._declared.pop(one.vo, None)
            reason = f"no queue takes it: {message.exchange} {message.routing_key}"
        elif message.message_id in self._unmade:
            reason = self._unmade[message.message_id]
        elif published.lost is not None and is_alone:
            reason = f"the broker closes the channel over it: {published.lost}"
        else:
            return None
        self._tries[one.seq] = self._tries.get(one.seq, 0) + 1
        is_systemic = self._breaker.failed(message.message_id, reason)
        self._condition.note("publishing", cut(reason) if is_systemic else None)
        may_bury = not is_systemic or time.time() - one.at > HOPELESS_FOR_S
        return reason if self._tries[one.seq] >= _TRIES and may_bury else None

    def _adapt(self, published: Published, read: int, sent: int, *, is_settled: bool) -> float:
        """A window over which the broker closes the channel is bisected; one that goes through lets it grow again.

        Returns how long to wait before the next.
        """
        if published.lost is not None:
            self._window = max(1, sent // 2)
        elif is_settled:
            there_is_more = read >= self._window
            self._window = min(_WINDOW, self._window * 2)
            self._backoff.reset()
            return 0.0 if there_is_more else _TICK_S
        return self._backoff.next_s()

    def _queue(self, one: Untold) -> str:
        return queue_of_task(one.vo, one.task_id, self._shards)

    def _message(self, one: Untold) -> Outgoing:
        """As it goes to the broker, if a body can be made of it: else with no more than is certain, to be buried so."""
        try:
            return _message(one, orjson.dumps(body(one)), self._shards)
        except Exception as error:
            log.error("no_body", seq=one.seq, exc_info=True)
            self._unmade[one.msg_id] = f"no body can be made of it: {told(error)}"
            return _message(one, orjson.dumps(body(replace(one, job=None, glance=None, body=None))), self._shards)


def _message(one: Untold, told: bytes, shards: int) -> Outgoing:
    """To the exchange of its task's queue, and from there to whoever listens for its key."""
    about = one.state if one.kind == JOB_STATUS else one.kind
    return Outgoing(one.msg_id, queue_of_task(one.vo, one.task_id, shards), f"{one.vo}.{one.task_id}.{about}", told)
