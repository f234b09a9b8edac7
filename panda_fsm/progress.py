"""What a process has done since its start and has in hand, and whether it may take more, for others to show."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from panda_fsm.figures import BUSY, MESSAGES, RATE

_RATE_OVER_S = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """Messages in numbers since the start of a process. Those that were buried or put off are handled, too: the broker
    has their acknowledgement."""

    handled: int = 0
    batches: int = 0
    buried: int = 0
    put_off: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How it stands now; ages in seconds. `per_s`: messages handled, of a gateway requests, over the last minute.

    `busy`: the part of its event loop that a gateway needed.
    """

    done: Done
    per_s: float
    in_hand: int
    in_hand_s: float | None
    handled_s: float | None
    is_paused: bool
    busy: float | None


class Progress:
    """Counted in memory, a few additions a batch, by the one thread that works; read by any other."""

    def __init__(self, queue: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        """`queue`: the one that the process serves, if any."""
        self._queue = queue
        self._clock = clock
        self._handled = self._batches = 0
        self._in_hand = 0
        self._since = 0.0
        self._handled_at: float | None = None
        self._seen: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._is_paused = False
        self._told: list[Callable[[], object]] = []

    def begin(self, messages: int) -> None:
        """A batch is in hand."""
        self._since = self._clock()
        self._in_hand = messages

    def end(self, handled: int) -> None:
        """It is not any more; so many of its messages are acknowledged."""
        self._in_hand = 0
        if handled:
            self._handled += handled
            self._batches += 1
            self._handled_at = self._clock()

    @property
    def is_paused(self) -> bool:
        """Whether nothing more may be taken."""
        return self._is_paused

    def pause(self, is_paused: bool) -> None:
        """Take nothing more, or take again; who takes hears of a change."""
        if is_paused != self._is_paused:
            self._is_paused = is_paused
            for tell in self._told:
                tell()

    def when_paused(self, tell: Callable[[], object]) -> None:
        """Have `tell` called at each change, in the thread of whoever pauses."""
        self._told.append(tell)

    def snapshot(self) -> Snapshot:
        """How it stands; called now and then by one thread, for which the rate is reckoned."""
        now, handled, in_hand = self._clock(), self._handled, self._in_hand
        self._seen.append((now, handled))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _RATE_OVER_S:
            self._seen.popleft()
        first_at, first = self._seen[0]
        counted = MESSAGES.values()
        busy, requests = (None if self._queue else one.values().get(()) for one in (BUSY, RATE))
        buried, put_off = (int(counted.get((self._queue, outcome), 0)) for outcome in ("buried", "deferred"))
        return Snapshot(
            Done(handled, self._batches, buried, put_off),
            requests or ((handled - first) / (now - first_at) if now > first_at else 0.0),
            in_hand,
            now - self._since if in_hand else None,
            None if self._handled_at is None else now - self._handled_at,
            self._is_paused,
            busy,
        )
