"""Asks the broker every few seconds what waits in each queue, and remembers it: so the age of the oldest is known."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Protocol

from panda_fsm.views.arrivals import Arrivals
from panda_fsm.views.queues import Sample, Watched
from periodic.schedule import Duty

_PERIOD_S = 5.0
Depth = tuple[int, int] | None
"""Messages that wait, and consumers; None: no such queue."""


class Broker(Protocol):
    """RabbitMQ, to be asked."""

    def depths(self, queues: Sequence[str]) -> Mapping[str, Depth]:
        """How much waits in each."""

    def close(self) -> None: ...


class Round(Protocol):
    """One look at all queues, in a transaction."""

    @property
    def at(self) -> datetime: ...
    @property
    def handled(self) -> Mapping[str, tuple[int, int, int]]:
        """Messages handled, buried and put off since ever, by queue."""

    def missed(self, after: datetime | None) -> Sequence[tuple[str, Sample]]:
        """What was seen since, by whichever daemon, in order."""

    def add(self, samples: Mapping[str, Sample]) -> None:
        """Remember what was seen; what is older is thinned out."""


class QueueSamples(Protocol):
    """The database side."""

    def turn(self, period_s: float) -> AbstractContextManager[Round | None]:
        """A round; None where another daemon did one just now."""

    def close(self) -> None: ...


class Sampler:
    """What one daemon knows of the queues."""

    def __init__(self, samples: QueueSamples, broker: Broker, queues: Sequence[Watched]) -> None:
        self._samples = samples
        self._broker = broker
        self._queues = queues
        self._members = [member for one in queues for member in one.members]
        self._arrivals: dict[str, Arrivals] = defaultdict(Arrivals)
        self._known: datetime | None = None

    def look(self) -> bool:
        """One round. The broker is asked before the transaction begins: it may take its time."""
        depths = self._broker.depths(self._members)
        with self._samples.turn(_PERIOD_S) as turn:
            if turn is None:
                return False
            for name, seen in turn.missed(self._known):
                self._note(name, seen)
            turn.add({one.name: self._note(one.name, _sample(one, depths, turn)) for one in self._queues})
        self._known = turn.at
        return False

    def _note(self, name: str, seen: Sample) -> Sample:
        """The sample, with the age of the oldest."""
        if seen.ready is None:
            return seen
        oldest = self._arrivals[name].note(seen.at.timestamp(), seen.ready, seen.handled)
        if oldest is None:
            return seen
        at = datetime.fromtimestamp(oldest.at, UTC)
        return Sample(
            seen.at, seen.ready, seen.consumers, seen.handled, seen.buried, seen.put_off, at, oldest.was_there
        )

    def rest(self) -> None:
        """Give connections back."""
        self._samples.close()
        self._broker.close()


def _sample(queue: Watched, depths: Mapping[str, Depth], turn: Round) -> Sample:
    found = [depth for member in queue.members if (depth := depths[member]) is not None]
    if not found:
        return Sample(turn.at, None, 0)
    ready, consumers = sum(depth[0] for depth in found), sum(depth[1] for depth in found)
    if queue.reader != "service":
        return Sample(turn.at, ready, consumers)
    return Sample(turn.at, ready, consumers, *turn.handled.get(queue.name, (0, 0, 0)))


def duty(samples: QueueSamples, broker: Broker, queues: Sequence[Watched]) -> Duty:
    """Every five seconds."""
    sampler = Sampler(samples, broker, queues)
    what = "Asks the broker what waits in each queue, for the age of the oldest message."
    return Duty("queues", _PERIOD_S, what, sampler.look, alone=True, limit_s=120.0, rest=sampler.rest)
