"""A queue's last hour, for charts, and what died in it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

Values = list[float | None]


@dataclass(frozen=True, slots=True)
class Step:
    """Half a minute of a queue: the most that waited and the oldest age in it, and what was handled until then; None
    where nobody looked."""

    at: datetime
    ready: int | None
    oldest_s: float | None
    handled: int | None
    consumers: int | None


@dataclass(frozen=True, slots=True)
class Hour:
    """The last hour of a queue, from end to end."""

    steps: tuple[Step, ...]

    @property
    def ready(self) -> Values:
        """The most that waited in each step."""
        return [step.ready for step in self.steps]

    @property
    def oldest_s(self) -> Values:
        """The oldest age in each step, 0 where nothing waited."""
        return [None if step.ready is None else step.oldest_s or 0.0 for step in self.steps]

    @property
    def handled_per_s(self) -> Values:
        """Messages handled a second, from step to step."""
        found: Values = []
        for before, after in pairwise(self.steps):
            if before.handled is None or after.handled is None:
                found.append(None)
            else:
                found.append(max(0, after.handled - before.handled) / (after.at - before.at).total_seconds())
        return found

    @staticmethod
    def most(values: Iterable[float | None]) -> float | None:
        """The highest of them; None: nobody looked."""
        return max((value for value in values if value is not None), default=None)


@dataclass(frozen=True, slots=True)
class Cause:
    """Open dead letters that died alike."""

    fingerprint: str
    reason: str
    letters: int
    first_at: datetime
    last_at: datetime
