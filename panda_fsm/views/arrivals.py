"""How old is the oldest message of a queue? Told from how much waits and how much was handled: none is touched."""

from collections import deque
from dataclasses import dataclass

_MOST = 4000
"""Points that are remembered of one queue; beyond it every second is forgotten."""


@dataclass(frozen=True, slots=True)
class Oldest:
    """When the oldest message came that waits now; or before then, where it `was_there` when we began to look."""

    at: float
    was_there: bool


class Arrivals:
    """When messages came to one queue, of those that may still wait in it.

    What was handled and what waits is what has come so far. Queues hand out in order: with `gone` messages handled, the
    oldest that waits is number `gone + 1`, and it came when that many had come.
    """

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()
        self._gone = 0
        self._ready = 0

    def note(self, at: float, ready: int, handled: int | None) -> Oldest | None:
        """How it was `at`: so many waited, so many were handled since ever. Returns the oldest that waits, if any does.

        `handled` is None where others read the queue: then what it lost between two looks was handled, at least, and
        the oldest is no older than that says.
        """
        self._gone = self._gone + max(0, self._ready - ready) if handled is None else handled
        self._ready = ready
        self._add(at, self._gone + ready)
        return self._oldest() if ready else None

    def _add(self, at: float, came: int) -> None:
        """Fewer than before can only be so because some were counted late, or went unhandled: then no more had come."""
        points = self._points
        since: float | None = None
        while points and points[-1][1] > came:
            since = points.pop()[0]
        if since is not None:
            points.append((since, came))
        if len(points) > 1 and points[-1][1] == points[-2][1] == came:
            points.pop()  # the ends of a time in which nothing came say all of it
        points.append((at, came))
        if len(points) > _MOST:
            self._points = deque([*list(points)[:-1:2], points[-1]])

    def _oldest(self) -> Oldest:
        points = self._points
        while len(points) > 1 and points[1][1] <= self._gone:
            points.popleft()
        (before, had), wanted = points[0], self._gone + 1
        if had >= wanted:
            return Oldest(before, was_there=True)
        after, have = points[1]
        return Oldest(before + (after - before) * (wanted - had) / (have - had), was_there=False)
