"""Who is to blame when messages fail, they or the system: what is buried, and when a process stops taking any."""

import time
from collections import OrderedDict
from collections.abc import Callable

from panda_fsm.errors import SystemicError
from panda_fsm.handler import Delivery
from panda_fsm.trouble import HOPELESS_FOR_S, STOPPED_FOR_S, Breaker, cause_of

_MOST_SUSPECTS = 1000
_MOST_CAUSES = 100


class Blame:
    """What one process has seen of failures and successes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._breaker = Breaker()
        self._successes = 0
        self._suspects: OrderedDict[bytes, int] = OrderedDict()
        self._stopped: dict[str, float] = {}

    @property
    def is_open(self) -> bool:
        """Whether many failed alike, and nothing succeeded since."""
        return self._breaker.is_open

    def succeeded(self) -> None:
        """A message was handled: what fails now is to blame itself."""
        self._breaker.succeeded()
        self._successes += 1

    def unforeseen(self, body: bytes, reason: str) -> None:
        """A message failed in a way that may pass. Raises SystemicError where many do so alike: nothing works."""
        if self._breaker.failed(hash(body), reason):
            raise SystemicError(f"messages fail one after the other, all alike: {reason}")

    def doubts(self, body: bytes, reason: str) -> bool:
        """Whether a message that would be buried is one of too many alike, with none handled between, to be to blame.

        For the first minute of that raises SystemicError: the process stops, in case somebody is mending what it is.
        But then others must get their chance, for anybody who may write to the broker can send such messages: they are
        put off, and in the end buried all the same.
        """
        if not self._breaker.failed(hash(body), reason):
            return False
        now, cause = self._clock(), cause_of(reason)
        if now - self._stopped.get(cause, -HOPELESS_FOR_S) >= HOPELESS_FOR_S:
            self._stopped[cause] = now
            if len(self._stopped) > _MOST_CAUSES:
                del self._stopped[next(iter(self._stopped))]
        if now - self._stopped[cause] < STOPPED_FOR_S:
            raise SystemicError(f"messages are refused one after the other, all alike: {reason}")
        return True

    def is_guilty(self, delivery: Delivery, for_s: float) -> bool:
        """Whether it failed for long enough while others were handled: else it may be the system that fails."""
        before = self._suspects.setdefault(delivery.body, self._successes)
        if len(self._suspects) > _MOST_SUSPECTS:
            self._suspects.popitem(last=False)
        if delivery.waited_s < (for_s if self._successes > before else HOPELESS_FOR_S):
            return False
        del self._suspects[delivery.body]
        return True
