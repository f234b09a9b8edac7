"""The relay: publishes what a crash left in the outbox, and sends again the requests that nobody has handled."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import structlog

from panda_fsm import delays
from panda_fsm.figures import RELAYED
from panda_fsm.log_ids import few
from panda_fsm.messages import cut
from panda_fsm.ports import Published, Publisher, Unsent
from panda_fsm.spans import publish
from panda_fsm.trouble import HOPELESS_FOR_S, UNSENT_FOR_S, Backoff, Breaker, Condition

log = structlog.get_logger()

_TICK_S = 0.5
"""What the daemon says waits for us so long at most."""
_BACKOFF_S = (0.5, 5.0)
_WINDOW = 1000
_LONE_FAILURES = 3
"""A message that alone makes the broker close the channel so often will always do so."""
_RETURNS = 5
"""So often a message comes back before it is given up, however old it was when it came back first: queues that were
deleted are declared again. Accepted requests are not counted, and never given up for this."""
REQUESTS_AGAIN_S = 60.0
"""An accepted request that is still kept after this goes out again, and then ever later, up to a quarter of an hour:
versions and the inbox make that harmless, but each time may be a copy more that waits for a service that is away."""


class Slice(Protocol):
    """Unsent messages, locked until the slice is left; what is said of none stays as it is."""

    unsent: list[Unsent]

    def sent(self, message_ids: Sequence[str]) -> None:
        """The broker has them."""

    def put_off(self, unsent: Sequence[Unsent], seconds: float, trouble: str) -> None:
        """Not these now: those behind them go first."""

    def bury(self, unsent: Unsent, reason: str) -> None:
        """To the dead letters: no broker will ever take it."""


class Outbox(Protocol):
    """The database side. Each call takes a slice: at most `limit` messages, bounded in bytes."""

    def left(self, age_s: float, limit: int) -> AbstractContextManager[Slice]:
        """Outbox rows that were handed over, or that nobody published within `age_s`."""

    def unhandled(self, age_s: float, limit: int) -> AbstractContextManager[Slice]:
        """Kept requests that were sent longer than `age_s` ago, older ones ever more seldom."""


class Relay:
    """Any number may run: rows are claimed by row locks. One message that cannot be sent holds up nobody else."""

    def __init__(
        self, outbox: Outbox, publisher: Publisher, age_s: float, confirm_timeout_s: float, condition: Condition
    ) -> None:
        self._publisher = publisher
        self._confirm_timeout_s = confirm_timeout_s
        self._condition = condition
        self._backoff = Backoff(*_BACKOFF_S)
        self._breaker = Breaker()
        self._window = _WINDOW
        self._ending = threading.Event()
        self._sources: dict[str, Callable[[int], AbstractContextManager[Slice]]] = {
            "outbox": lambda limit: outbox.left(age_s, limit),
            "requests": lambda limit: outbox.unhandled(REQUESTS_AGAIN_S, limit),
        }

    def run(self) -> None:
        """Work until `end`; while the database or the broker is away, keep trying."""
        while not self._ending.is_set():
            busy = [self._attempt(name) for name in self._sources]
            if not any(busy):
                self._ending.wait(_TICK_S)

    def end(self) -> None:
        """Stop after the slice in hand."""
        self._ending.set()

    def _attempt(self, name: str) -> bool:
        """One slice of a source; True when there may be more. Its trouble must not keep us from the other source."""
        try:
            more = self._relay(name)
        except Exception as error:
            log.warning("waiting", source=name, error=str(error), exc_info=not isinstance(error, OSError))
            self._condition.note(name, cut(str(error)))
            self._ending.wait(self._backoff.next_s())
            return False
        self._condition.note(name, None)
        return more

    def _relay(self, name: str) -> bool:
        with self._sources[name](self._window) as part:
            if not part.unsent:
                return False
            messages = [one.message for one in part.unsent]
            published = publish(self._publisher, messages, self._confirm_timeout_s, "relay")
            part.sent([message.message_id for message in published.confirmed])
            if published.confirmed:
                self._breaker.succeeded()
                self._condition.note("publishing", None)
            self._settle(part, published)
            RELAYED.add((name,), len(published.confirmed))
            ids = few(message.message_id for message in published.confirmed)
            log.info("relayed", source=name, messages=len(published.confirmed), of=len(part.unsent), message_ids=ids)
        self._adapt(published, len(part.unsent))
        return bool(published.confirmed or published.refused or published.returned) or published.lost is not None

    def _settle(self, part: Slice, published: Published) -> None:
        """What is to become of those that were not taken; what is simply unanswered stays where it is."""
        returned = {message.message_id for message in published.returned}
        lone = len(part.unsent) == 1 and published.lost is not None
        for one in part.unsent:
            if one.message.message_id in published.refused:
                part.bury(one, published.refused[one.message.message_id])
            elif one.message.message_id in returned:
                where = f"{one.message.exchange or 'queue'} {one.message.routing_key}"
                hopeless = one.age_s > UNSENT_FOR_S and one.tries >= _RETURNS
                self._put_off(part, one, f"no queue takes it: {where}", hopeless)
            elif lone:
                reason = f"the broker closes the channel over it: {published.lost}"
                self._put_off(part, one, reason, one.tries + 1 >= _LONE_FAILURES)

    def _put_off(self, part: Slice, one: Unsent, reason: str, often_enough: bool) -> None:
        """Or bury it; but where many fail alike in a row, it is the broker that somebody must mend."""
        is_systemic = self._breaker.failed(one.message.message_id, reason)
        self._condition.note("publishing", cut(reason) if is_systemic else None)
        if often_enough and (not is_systemic or one.age_s > HOPELESS_FOR_S):
            log.error("buried", message_id=one.message.message_id, reason=reason)
            part.bury(one, reason)
        else:
            part.put_off([one], delays.after(one.tries), cut(reason))

    def _adapt(self, published: Published, size: int) -> None:
        """A window over which the broker closes the channel is bisected; one that goes through lets it grow again."""
        if published.lost is not None:
            self._window = max(1, size // 2)
        elif len(published.confirmed) + len(published.refused) + len(published.returned) < size:
            self._ending.wait(self._backoff.next_s())  # the broker is away or slow
        else:
            self._window = min(_WINDOW, self._window * 2)
            self._backoff.reset()
