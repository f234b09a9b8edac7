"""The relay and the clock: publish what a crash left in the outbox, and act on time, once a second."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from panda_fsm.effects import Outgoing
from panda_fsm.errors import TransientError
from panda_fsm.ports import Publisher

log = structlog.get_logger()

_TICK_S = 1.0
_TIDY_S = 60.0


class Outbox(Protocol):
    """The database side."""

    def relay(self, age_s: float, publish: Callable[[Sequence[Outgoing]], list[Outgoing]]) -> int: ...

    def tick(self) -> int: ...

    def tidy(self) -> None: ...


class Relay:
    """Any number may run: outbox rows are claimed by row lock, the clock by an advisory lock."""

    def __init__(self, outbox: Outbox, publisher: Publisher, age_s: float, confirm_timeout_s: float) -> None:
        self._outbox = outbox
        self._publisher = publisher
        self._age_s = age_s
        self._confirm_timeout_s = confirm_timeout_s
        self._ending = threading.Event()

    def run(self) -> None:
        """Work until `end`; while the database or the broker is away, keep trying."""
        tidied = 0.0
        while not self._ending.is_set():
            self._attempt(self._empty_outbox)
            self._attempt(self._drain_ticks)
            if time.monotonic() - tidied > _TIDY_S:
                self._attempt(self._outbox.tidy)
                tidied = time.monotonic()
            self._ending.wait(_TICK_S)

    def _attempt(self, work: Callable[[], None]) -> None:
        """Trouble in one duty must not keep us from the others."""
        try:
            work()
        except TransientError as error:
            log.warning("waiting", error=str(error))
        except Exception:
            log.exception("duty_failed", duty=work.__name__)

    def _empty_outbox(self) -> None:
        while self._outbox.relay(self._age_s, self._publish) and not self._ending.is_set():
            pass

    def _drain_ticks(self) -> None:
        while self._outbox.tick() and not self._ending.is_set():
            pass

    def end(self) -> None:
        self._ending.set()

    def _publish(self, messages: Sequence[Outgoing]) -> list[Outgoing]:
        taken = self._publisher.publish(messages, self._confirm_timeout_s)
        log.info("relayed", messages=len(taken), of=len(messages))
        return taken
