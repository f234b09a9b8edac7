"""The one policy for trouble: what is retried, put off, bisected or buried, and when a process stops taking messages.

Consumers, relay, daemon, publishers and plugin calls all use it: typed errors, bounds by age, and a breaker between the
trouble of one message and that of the whole system.
"""

import hashlib
import random
import re
import time
from collections.abc import Callable, Hashable
from enum import Enum
from math import inf

import pydantic

from panda_fsm.errors import HeldError, PoisonError, SystemicError, TooSlowError, TransientError

UNKNOWN_FOR_S = 60.0
"""A job or block nobody knows may be one whose creation is still in a queue: worth a minute, or until the
submissions of before were handled."""
SUSPECT_FOR_S = 10.0
"""A message that fails in an unforeseen way is tried again for so long before it is buried..."""
HOPELESS_FOR_S = 86_400.0
"""...if others were handled meanwhile; where none ever is, it is tried for a day."""
SLOW_FOR_S = 600.0
"""A message that alone takes the database too long is tried again for so long before it is buried."""
NEWER_FOR_S = 3600.0
"""A message of a newer schema waits for so long for a newer program, and for as long as it is a kept request."""
STOPPED_FOR_S = 60.0
"""Where messages would be buried one after the other, all alike, the process stops for so long; then it puts them off,
so that others come through..."""
DOUBTED_FOR_S = 3600.0
"""...and buries them when they have waited so long."""
SHOWN_FOR_S = 180.0
"""That messages wait for a newer program, or for who mends this one, is shown for so long after the last: three times
the longest delay after which it comes again."""
LOCKED_FOR_S = 86_400.0
"""A message whose job or block somebody holds comes again for so long: locks have an end, and it is not to blame."""
UNSENT_FOR_S = 600.0
"""A message that no queue takes, or that closes the channel, is put off and tried again for so long, then buried."""
ALONE_AFTER = 3
"""A message handed out so often without an answer is handled alone and last: it may be what kills the process."""
KILLER_AFTER = 30
"""Handed out alone so often without an answer, it is buried: nobody else can be to blame..."""
NEWBORN_S = 300.0
"""...by a process that has just been started again. One that lived on held it while the database was away, say."""
IN_A_ROW = 5
"""So many messages that fail alike without a success between are not to blame: the process stops taking any."""
_MOST_CAUSES = 100


class Kind(Enum):
    """What an error says about the message in hand."""

    TRANSIENT = "nothing: an outside system is away; the same again, later"
    SYSTEMIC = "nothing: somebody must mend the system; stop, say so, and try now and then"
    HELD = "somebody holds a row that a message of them needs: the others first, and that one later"
    SLOW = "perhaps it is too much at once: fewer, then alone"
    POISON = "it can never be handled: bury it"
    UNEXPECTED = "perhaps it is to blame: find it by bisection, try it again for a while, then bury it"


def kind_of(error: BaseException) -> Kind:
    """The kind of an error."""
    match error:
        case SystemicError():
            return Kind.SYSTEMIC
        case HeldError():
            return Kind.HELD
        case TooSlowError():
            return Kind.SLOW
        case TransientError():
            return Kind.TRANSIENT
        case PoisonError() | pydantic.ValidationError():
            return Kind.POISON
    return Kind.UNEXPECTED


_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")


def cause_of(reason: str) -> str:
    """The reason without its numbers and ids: equal for what went wrong alike."""
    return _IDS.sub("#", reason)


def fingerprint(place: str, reason: str) -> str:
    """Groups what went wrong alike in one place (a queue, a duty)."""
    return hashlib.sha256(f"{place}:{cause_of(reason)}".encode()).hexdigest()[:16]


class Backoff:
    """Waiting times that double from one bound to the other, with jitter, until something works again."""

    def __init__(self, shortest_s: float, longest_s: float) -> None:
        self._bounds = shortest_s, longest_s
        self._failures = 0

    def next_s(self) -> float:
        """How long to wait before the next try."""
        shortest, longest = self._bounds
        wait_s: float = min(longest, shortest * 2 ** min(self._failures, 30))
        self._failures += 1
        return wait_s * random.uniform(0.75, 1.0)  # noqa: S311  # so that not all come back at the same moment

    def reset(self) -> None:
        """It works."""
        self._failures = 0


class Breaker:
    """Open once `most` different things failed alike with no success between: then it is not they who are to blame.

    What fails in another way meanwhile says nothing of that.
    """

    def __init__(self, most: int = IN_A_ROW) -> None:
        self._most = most
        self._failed: dict[str, set[Hashable]] = {}
        self._open: set[str] = set()

    @property
    def is_open(self) -> bool:
        return bool(self._open)

    def failed(self, what: Hashable, reason: str) -> bool:
        """Note a failure; True when the breaker is open now for what fails like that."""
        cause = cause_of(reason)
        if cause in self._open:
            return True
        failed = self._failed.setdefault(cause, set())
        failed.add(what)
        if len(failed) >= self._most:
            self._open.add(cause)
        if cause in self._open or len(self._failed) > _MOST_CAUSES:
            self._failed.clear()
        return cause in self._open

    def succeeded(self) -> None:
        """Something worked: what fails now is to blame itself."""
        self._failed.clear()
        self._open.clear()


class Condition:
    """What keeps a process from its work, if anything; its parts note it, its presence and its log show it."""

    def __init__(
        self,
        changed: Callable[[str, str | None], None] = lambda _part, _trouble: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`changed` is told (part, trouble or None) at each change."""
        self._changed = changed
        self._clock = clock
        self._trouble: dict[str, str] = {}
        self._until: dict[str, float] = {}

    def note(self, part: str, trouble: str | None, for_s: float = inf) -> None:
        """A part of the process is in trouble, or (None) is well again: so it is after `for_s`, if nobody says more."""
        before = self._trouble.get(part)
        if trouble is None:
            self._trouble.pop(part, None)
        else:
            self._until[part] = self._clock() + for_s
            self._trouble[part] = trouble
        if before != trouble and (before is None) != (trouble is None):
            self._changed(part, trouble)

    @property
    def trouble(self) -> str | None:
        """All of it in one sentence; None when the process works."""
        now = self._clock()
        for part in [part for part, until in list(self._until.items()) if until < now]:
            self._until.pop(part, None)
            self.note(part, None)
        return "; ".join(f"{part}: {what}" for part, what in sorted(self._trouble.items())) or None
