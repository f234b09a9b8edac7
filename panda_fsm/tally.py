"""What a process counts of its own work, in memory: counters, gauges and histograms that somebody may read.

An addition takes no lock. CPython gives the interpreter to another thread only between calls and at jumps back, so
`cells[labels] += amount` is done by one thread at a time, as long as the cell is there.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from weakref import ref

Labels = tuple[str, ...]
Owner = TypeVar("Owner")
OTHER = "other"
"""Stands for the labels of all that came when there were enough."""
MOST_SERIES = 2000
"""Combinations of labels that a metric takes: what others choose (sites, routes) must not fill the memory."""
PREFIX = "panda_"


class Metric:
    """What all kinds have in common: a name, what it means, and bounded labels."""

    kind = ""
    ending: tuple[str, ...] = ("",)

    def __init__(self, name: str, about: str, labels: Labels = (), most: int = MOST_SERIES) -> None:
        if not name.startswith(PREFIX) or not name.endswith(self.ending):
            raise ValueError(f"{name} is no name for a {self.kind}")
        self.name = name
        self.about = about
        self.labels = labels
        self._most = most

    def take(self) -> Any:
        """What was counted since the last time, for another process to `put`; None: nothing. Only where one thread
        counts."""
        raise NotImplementedError

    def put(self, taken: Any) -> None:
        """Count what another process took."""
        raise NotImplementedError

    def _admitted(self, labels: Labels, known: Mapping[Labels, Any]) -> Labels:
        """The labels under which something new is counted."""
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {labels}")
        return labels if len(known) < self._most else (OTHER,) * len(labels)


class _Numbers(Metric):
    """One number for each combination of labels; some of them are asked for when somebody reads."""

    def __init__(self, name: str, about: str, labels: Labels = (), most: int = MOST_SERIES) -> None:
        super().__init__(name, about, labels, most)
        self._cells: dict[Labels, float] = {}
        self._watched: dict[Labels, Callable[[], float | None]] = {}

    def watch(self, owner: Owner, look: Callable[[Owner], float | None], labels: Labels = ()) -> None:
        """Ask `look(owner)` for the number, as long as the owner lives: costs nothing until somebody reads."""
        alive = ref(owner)

        def now() -> float | None:
            found = alive()
            return None if found is None else look(found)

        self._watched[self._admitted(labels, self._watched)] = now

    def values(self) -> dict[Labels, float]:
        """All numbers as they are now."""
        found = self._cells.copy()
        for labels, look in list(self._watched.items()):
            value = look()
            if value is not None:
                found[labels] = value
        return found


class Counter(_Numbers):
    """Only grows."""

    kind = "counter"
    ending = ("_total",)

    def add(self, labels: Labels = (), amount: float = 1) -> None:
        """Count `amount` more."""
        cells = self._cells
        if labels not in cells:
            labels = self._admitted(labels, cells)
            cells.setdefault(labels, 0)
        cells[labels] += amount

    def take(self) -> dict[Labels, float] | None:
        if not self._cells:
            return None
        taken, self._cells = self._cells, {}
        return taken

    def put(self, taken: dict[Labels, float]) -> None:
        for labels, amount in taken.items():
            self.add(labels, amount)


class Gauge(_Numbers):
    """As it is now."""

    kind = "gauge"

    def __init__(self, name: str, about: str, labels: Labels = (), most: int = MOST_SERIES) -> None:
        super().__init__(name, about, labels, most)
        self._taken = self._cells

    def set(self, value: float, labels: Labels = ()) -> None:
        cells = self._cells
        if labels not in cells:
            labels = self._admitted(labels, cells)
        cells[labels] = value

    def replace(self, values: Mapping[Labels, float]) -> None:
        """These and no others: what is gone is not shown any more."""
        fresh: dict[Labels, float] = {}
        for labels, value in values.items():
            fresh[self._admitted(labels, fresh)] = value
        self._cells = fresh

    def take(self) -> dict[Labels, float] | None:
        """All of it, where it was replaced. What is set one by one stays in its process."""
        if self._cells is self._taken:
            return None
        self._taken = self._cells
        return self._cells

    def put(self, taken: dict[Labels, float]) -> None:
        self.replace(taken)


class Histogram(Metric):
    """How values are spread: counted in buckets of fixed bounds, each up to and with its bound."""

    kind = "histogram"
    ending = ("_seconds", "_messages")

    def __init__(self, name: str, about: str, labels: Labels, bounds: Sequence[float], most: int = MOST_SERIES) -> None:
        super().__init__(name, about, labels, most)
        self.bounds = tuple(bounds)
        self._cells: dict[Labels, list[float]] = {}

    def observe(self, value: float, labels: Labels = ()) -> None:
        """Count one value."""
        cells = self._cells
        if labels not in cells:
            labels = self._admitted(labels, cells)
            cells.setdefault(labels, [0.0] * (len(self.bounds) + 2))
        row = cells[labels]
        row[bisect_left(self.bounds, value)] += 1
        row[-1] += value

    def take(self) -> dict[Labels, list[float]] | None:
        if not self._cells:
            return None
        taken, self._cells = self._cells, {}
        return taken

    def put(self, taken: dict[Labels, list[float]]) -> None:
        for labels, row in taken.items():
            if labels not in self._cells:
                labels = self._admitted(labels, self._cells)
            known = self._cells.setdefault(labels, [0.0] * len(row))
            self._cells[labels] = [here + there for here, there in zip(known, row, strict=True)]

    def rows(self) -> dict[Labels, tuple[list[int], float]]:
        """For each combination of labels how many fell into each bucket and above them all, and their sum."""
        copies = {labels: row.copy() for labels, row in self._cells.copy().items()}
        return {labels: ([int(count) for count in row[:-1]], row[-1]) for labels, row in copies.items()}


class Tally:
    """The metrics of a process, by name."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._metrics.values())

    def take(self) -> dict[str, Any]:
        """What was counted since the last time, by metric."""
        return {name: taken for name, metric in self._metrics.items() if (taken := metric.take()) is not None}

    def put(self, taken: Mapping[str, Any]) -> None:
        """Count what another process took, as far as it is known here."""
        for name in taken.keys() & self._metrics.keys():
            self._metrics[name].put(taken[name])

    def counter(self, name: str, about: str, labels: Labels = (), most: int = MOST_SERIES) -> Counter:
        return self._add(Counter(name, about, labels, most))

    def gauge(self, name: str, about: str, labels: Labels = (), most: int = MOST_SERIES) -> Gauge:
        return self._add(Gauge(name, about, labels, most))

    def histogram(self, name: str, about: str, labels: Labels, bounds: Sequence[float]) -> Histogram:
        return self._add(Histogram(name, about, labels, bounds))

    def _add(self, metric: "Kind") -> "Kind":
        if metric.name in self._metrics:
            raise ValueError(f"two metrics are called {metric.name}")
        self._metrics[metric.name] = metric
        return metric


Kind = TypeVar("Kind", bound=Metric)
