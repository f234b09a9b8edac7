"""The flow of jobs: what is new in their histories is counted, each step once, for those who look at it."""

from typing import Protocol

from periodic.schedule import Duty, Memory

_PERIOD_S = 10.0
"""Seldom enough that what a window costs whatever is in it, and each count that is written, do not matter."""
_WINDOW_S = (0.25, 60.0)
_ROWS = 50_000
"""A window with more of them is halved the next time; one with a quarter of them is doubled."""


class Flow(Protocol):
    """The database side."""

    def count(self, seconds: float) -> tuple[int, bool]:
        """Count the steps of the next `seconds` of history; how many there were, and whether there is more to count."""

    def close(self) -> None: ...


def duty(flow: Flow) -> Duty:
    """Behind by a few seconds; after a pause window by window, and empty hours in long strides."""
    shortest, longest = _WINDOW_S
    seconds = Memory(_PERIOD_S)

    def run() -> bool:
        try:
            steps, more = flow.count(seconds.now)
        except BaseException:
            seconds.now = max(shortest, seconds.now / 2)
            raise
        if steps > _ROWS:
            seconds.now = max(shortest, seconds.now / 2)
        elif steps < _ROWS / 4:
            seconds.now = min(longest, seconds.now * 2)
        return more

    what = "Counts the new steps in the histories of jobs, for pages and rates."
    return Duty("flow", _PERIOD_S, what, run, alone=True, rest=flow.close, memory=seconds)
