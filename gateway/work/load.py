"""How much of this gateway the present load takes: A × R against M × W, and how late its event loop is."""

import time
from collections import deque
from collections.abc import Callable

from panda_fsm import figures

_TICK_S = 0.1
_EVERY_S = 5.0
_WINDOW = 12
"""So many of these make the minute over which the mean is taken."""
_IDLE = 1e-3
"""Less of a core than this is no load: the headroom is given as if it were so much."""


class Load:
    """Told of each turn of the server; a minute's means are worked out every few seconds."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, spent: Callable[[], float] = time.process_time
    ) -> None:
        """`spent`: seconds of processor time that this process has had."""
        self._clock = clock
        self._spent = spent
        self._ticked_at: float | None = None
        self._seen: deque[tuple[float, float, float]] = deque(maxlen=_WINDOW)

    def tick(self) -> None:
        """The loop came round; it had asked to be called after a tenth of a second."""
        now = self._clock()
        if self._ticked_at is not None:
            figures.LOOP_LAG.observe(max(0.0, now - self._ticked_at - _TICK_S))
        self._ticked_at = now
        if not self._seen or now - self._seen[-1][0] >= _EVERY_S:
            self._note(now)

    def _note(self, now: float) -> None:
        spent, answered = self._spent(), sum(figures.REQUESTS.values().values())
        if self._seen:
            began, spent_then, answered_then = self._seen[0]
            busy = (spent - spent_then) / (now - began)
            figures.RATE.set((answered - answered_then) / (now - began))
            figures.MEAN.set((spent - spent_then) / max(1.0, answered - answered_then))
            figures.BUSY.set(busy)
            figures.HEADROOM.set(1 / max(_IDLE, busy))
        self._seen.append((now, spent, answered))
