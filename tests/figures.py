"""What a test adds to the process's own counters, which other tests count into too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from panda_fsm.tally import Counter, Labels


@contextmanager
def grown_by(counter: Counter) -> Iterator[Callable[[Labels], float]]:
    """A function that says by how much a counter has grown since."""
    before = counter.values()
    yield lambda labels: counter.values().get(labels, 0) - before.get(labels, 0)
